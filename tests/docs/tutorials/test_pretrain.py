import json
import shutil
from pathlib import Path

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.results import load_results

SMALL = ("epochs=2", "batch_size=16", "optimizer.warmup_epochs=1", "workers=0", "precision=fp32", "monitor.log_every=2")
SMALL += ("monitor.evaluate_every=1", "augmentation.size=32", "head.hidden_dim=32", "loss.num_features=64")


def test_pretrain(tutorial):
    page = tutorial(
        "pretrain",
        budget={
            "runs/first epochs=20": " ".join(["runs/first", *SMALL]),
            '"epochs=20"': ", ".join(f'"{setting}"' for setting in SMALL),
        },
    )
    page.run(until="--resume")
    run = Path("runs/first")
    weights = (run / "model/model.safetensors").read_bytes()
    shutil.rmtree(run / "model")  # as after a crash in the second epoch
    shutil.rmtree(max((run / "checkpoints").glob("step-*")))
    page.run()
    assert (run / "model/model.safetensors").read_bytes() == weights
    assert Path("curves.png").is_file()
    assert page.names["model"] == Path("runs/second/model")
    assert [line["step"] for line in page.names["lines"] if "knn" in line] == [5, 9]
    assert json.loads(Path("runs/second/model/config.json").read_text())["metadata"]["recipe"]["init_from"]
    measured = [result for result in load_results("runs/second/model/results.json") if result.split == "test"]
    assert [result.model for result in measured] == ["raw pixels", "untrained resnet18", "runs/second/model/"]
    assert page.names["embeddings"].equal(from_pretrained("runs/second/model/").embed(page.names["pictures"][:8]))
