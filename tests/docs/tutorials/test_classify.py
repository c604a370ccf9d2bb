def test_classify(tutorial):
    page = tutorial(
        "classify",
        budget={
            "iterations=300": "iterations=12 warmup=2 workers=0 batch_size=16",
            "iterations=100": "iterations=2 warmup=1 workers=0",
            "batch_size=16 flip=0": "batch_size=4 flip=0",
            "flip=0 label_share=0.1": "flip=0 label_share=0.2",
        },
        elsewhere=[
            "pip install -c constraints.txt -e '.[transfer,onnx]'",
            "python benchmarks/transfer.py sslhsic-r18 DATA --rows imagenette-1 imagenette-10",
        ],
    )
    page.run()
    names = page.names
    assert names["model"].config.classes == names["classifier"].info.classes == ("0", "1", "5")
    assert names["probabilities"].shape == (3,)
    assert names["classifier"].classify(names["picture"])[0].argmax() == names["probabilities"].argmax()
    assert "ok     agreement of the likeliest class" in page.shown[-1]
