from sslhsic_transfer.training.progress import Progress


def test_shows_the_latest_of_each_figure_and_ignores_others(capsys):
    with Progress(10, 4, visible=True) as progress:
        progress.advance()
        progress.show({"loss": 0.5, "hsic_zy": 0.25, "hsic_zz": 0.04, "learning_rate": 1e-3, "images_per_second": 99.6})
        progress.show({"knn": 0.125})
        progress.show({"loss": 0.25, "target_decay": 0.99})
    shown = capsys.readouterr().err
    assert "5/10" in shown
    last = shown.split("\r")[-1]
    for figure in ("loss=0.2500", "HSIC(Z,Y)=0.2500", "√HSIC(Z,Z)=0.2000", "lr=0.001", "img/s=100", "k-NN=12.5%"):
        assert figure in last
    assert "target" not in shown


def test_is_silent_when_asked(capsys):
    with Progress(10, 0, visible=False) as progress:
        progress.advance()
        progress.show({"loss": 1.0, "hsic_zz": -1.0})
    assert capsys.readouterr().err == ""
