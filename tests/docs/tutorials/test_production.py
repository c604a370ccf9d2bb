from pathlib import Path

import numpy as np

from sslhsic_transfer import from_pretrained


def test_production(tutorial):
    page = tutorial(
        "production",
        elsewhere=[
            "pip install -c constraints.txt -e '.[onnx]'",
            "pip install --no-deps sslhsic_transfer-*.whl  # `make build` in a checkout makes it, in dist/",
            "pip install onnxruntime numpy pillow pydantic pyyaml huggingface_hub",
        ],
    )
    page.run()
    names = page.names
    encoder = from_pretrained("sslhsic-r18")
    assert names["encoder"].info.weights_sha256 == encoder.weights_sha256
    np.testing.assert_allclose(names["embeddings"], encoder.embed(names["pictures"]).numpy(), atol=0.02)
    assert names["cosines"].mean() > 0.99
    whole, direct = names["embedding"][0], names["embeddings"][0]
    assert whole @ direct / np.linalg.norm(whole) / np.linalg.norm(direct) > 0.999
    assert Path("model_int8.onnx").stat().st_size < 0.3 * Path("model.onnx").stat().st_size
    assert {path.name for path in Path("repository/encoder").iterdir()} == {"1", "config.pbtxt"}
