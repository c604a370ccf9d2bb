import dataclasses
import json
import logging.handlers
import math
import shutil

import pytest
import torch

from sslhsic_transfer import create_encoder
from sslhsic_transfer.adapters.detectron2 import fine_tune, load_detector
from sslhsic_transfer.adapters.detectron2.config import load_config
from sslhsic_transfer.adapters.detectron2.trainer import SSLHSICTrainer
from sslhsic_transfer.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    ModelNotFoundError,
    OutputExistsError,
    TrainingError,
)
from sslhsic_transfer.metrics.average_precision import average_precision
from tests.adapters.detectron2.networks import SMALL

TINY = {"sides": (96, 112), "max_size": 160, "iterations": 3, "batch_size": 2, "learning_rate": 0.002, "workers": 0}


def tune(cells, output, **options):
    options = {"model": None, "architecture": "resnet18", "settings": SMALL} | TINY | options
    return fine_tune(*cells, output, **options)


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory):
    torch.manual_seed(0)
    return create_encoder("resnet18").save_pretrained(tmp_path_factory.mktemp("base") / "encoder")


@pytest.fixture(scope="module")
def run(cells, encoder_folder, tmp_path_factory):
    """A whole run; its encoder has gone since."""
    encoder = tmp_path_factory.mktemp("gone") / "encoder"
    shutil.copytree(encoder_folder, encoder)
    output = tune(cells, tmp_path_factory.mktemp("run") / "output", model=encoder)
    shutil.rmtree(encoder)
    return output


def weights(run):
    return torch.load(run / "model_final.pth")["model"]


def test_a_run_leaves_what_it_promises(run, cells):
    losses = [json.loads(line)["total_loss"] for line in (run / "metrics.json").read_text().splitlines()]
    assert losses
    assert all(loss > 0 for loss in losses)
    found = json.loads((run / "evaluation.json").read_text())
    assert found.keys() >= {"AP", "AP50", "AP75"}
    assert found == load_detector(run).evaluate(cells[1])
    assert (run / "classes.txt").read_text().split() == list(cells[0].classes)


def test_the_encoders_weights_were_the_start_and_trained(run, encoder_folder):
    from safetensors.torch import load_file

    start = load_file(encoder_folder / "model.safetensors")
    end = {name.removeprefix("backbone.bottom_up."): value for name, value in weights(run).items()}
    moved = {name: (end[name] - start[name]).abs().max() for name in start if name.endswith("conv1.weight")}
    assert all(0 < distance < 0.1 for distance in moved.values()), moved


def test_a_detector_finds_boxes_in_the_pictures_own_pixels(run, cells):
    detector = load_detector(run)
    assert detector.classes == cells[1].classes
    detector.model.roi_heads.box_predictor.test_score_thresh = 0.0
    picture = cells[1].pictures[0]
    found = detector(picture.path)
    assert len(found.boxes) == len(found.scores) == len(found.labels) > 0
    assert (found.scores[:-1] >= found.scores[1:]).all()
    assert found.boxes.min() >= 0
    assert 200 < found.boxes[:, 2].max() <= picture.size[0]  # the network saw 149 of 640
    assert set(found.labels.tolist()) <= {0, 1, 2}
    again = detector.predict(cells[1])
    assert len(again) == 2
    assert (again[0].boxes == found.boxes).all()


def test_perfect_boxes_have_a_perfect_precision(cells):
    val = cells[1]
    perfect = [
        type("Found", (), {"boxes": p.boxes, "scores": torch.ones(len(p.boxes)).numpy(), "labels": p.labels})
        for p in val.pictures
    ]
    figures = average_precision(val.as_coco(), perfect)
    assert set(figures) >= {"AP", "AP50", "AP75", "AP RBC"}
    assert list(figures.values()) == pytest.approx([1.0] * len(figures))


def test_a_resumed_run_is_the_uninterrupted_one(run, cells, encoder_folder, tmp_path, monkeypatch):
    step, output = SSLHSICTrainer.run_step, tmp_path / "output"
    shutil.copytree(encoder_folder, tmp_path / "encoder")

    def interrupted(self):
        if self.iter == 2:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(SSLHSICTrainer, "run_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune(cells, output, model=tmp_path / "encoder")
    with pytest.raises(ModelNotFoundError, match="holds no trained detector"):
        load_detector(output)
    monkeypatch.setattr(SSLHSICTrainer, "run_step", step)
    with pytest.raises(OutputExistsError, match="resume=True"):
        tune(cells, output, model=tmp_path / "encoder")
    with pytest.raises(CheckpointError, match=r"SOLVER.BASE_LR: 0.002 there, 0.1 here"):
        tune(cells, output, model=tmp_path / "encoder", learning_rate=0.1, resume=True)
    (tmp_path / "encoder").rename(tmp_path / "moved")
    settings = SMALL | {"SOLVER.CHECKPOINT_PERIOD": 7}  # shapes no result
    tune((cells[0], None), output, model=tmp_path / "moved", resume=True, settings=settings)
    assert not (output / "evaluation.json").exists()
    wanted, found = weights(run), weights(output)
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


@pytest.mark.parametrize(
    ("rate", "every", "message"),
    [(1e20, 9, "(?s)(Loss became|contain) .*Inf.*BASE_LR"), (math.nan, 1, "Weights .* finite at step 1")],
)
def test_a_run_that_diverges_stops_and_saves_nothing_of_it(cells, tmp_path, rate, every, message):
    settings = SMALL | {"SOLVER.WARMUP_ITERS": 0, "SOLVER.BASE_LR": rate, "SOLVER.CHECKPOINT_PERIOD": every}
    log, logged = logging.getLogger("detectron2.engine.train_loop"), logging.handlers.BufferingHandler(100)
    log.addHandler(logged)
    try:
        with pytest.raises(TrainingError, match=message):
            tune(cells, tmp_path / "output", settings=settings)
    finally:
        log.removeHandler(logged)
    assert not list((tmp_path / "output").glob("*.pth"))
    assert logged.buffer
    assert not any(record.exc_info for record in logged.buffer), "a traceback tells no more than the error"


def test_adamw_decays_neither_biases_nor_norms(cells, tmp_path):
    cfg = load_config("faster_rcnn_fpn")
    cfg.SOLVER.OPTIMIZER, cfg.SOLVER.WEIGHT_DECAY_BIAS, cfg.SOLVER.WEIGHT_DECAY_NORM = "ADAMW", 0.0, 0.0
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    decays = {
        names[id(parameter)]: group["weight_decay"]
        for group in SSLHSICTrainer.build_optimizer(cfg, network).param_groups
        for parameter in group["params"]
    }
    assert decays == {"0.weight": cfg.SOLVER.WEIGHT_DECAY, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0}


@pytest.mark.parametrize("network", ["faster_rcnn_c4", "retinanet"])
def test_the_other_networks_train_and_load(cells, tmp_path, network):
    torch.manual_seed(0)
    encoder = create_encoder("resnet18")
    output = tune(cells, tmp_path / network, model=encoder, network=network, iterations=1, norm="FrozenBN", freeze_at=2)
    shutil.rmtree(output / "encoder")
    assert len(load_detector(output).predict(cells[1])) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "yolo"}, "network: got 'yolo'"),
        ({"sides": ()}, r"sides, max_size: got \(\)"),
        ({"sides": (300,)}, r"none above max_size"),
        ({"iterations": 0}, "iterations, batch_size, learning_rate: got 0"),
        ({"norm": "GN"}, "norm: got 'GN'"),
        ({"seed": -1}, "seed: got -1"),
        ({"freeze_at": 6}, "freeze_at: got 6"),
        ({"precision": "fp8"}, "precision: got 'fp8'"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(cells, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        tune(cells, tmp_path / "output", **options)
    assert not (tmp_path / "output" / "config.yaml").exists()


def test_float16_takes_a_gpu(cells, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="precision: got 'fp16' without a GPU"):
        tune(cells, tmp_path / "output", precision="fp16")


def test_bfloat16_is_for_training_only(run, cells, encoder_folder, tmp_path, convolutions):
    output = tune(cells, tmp_path / "output", model=encoder_folder, precision="bf16")
    assert torch.bfloat16 in convolutions["training"]
    assert convolutions["eval"] == {torch.float32}
    exact, found = (dict(load_detector(folder).model.named_parameters()) for folder in (run, output))
    assert all(value.dtype == torch.float32 for value in found.values())
    assert all((value - exact[name]).abs().max() < 0.01 for name, value in found.items())


def test_data_that_cannot_be_learned_from_is_refused(cells, tmp_path):
    other = dataclasses.replace(cells[1], classes=("a", "b", "c"))
    with pytest.raises(DataError, match="val: got the classes a, b, c"):
        tune((cells[0], other), tmp_path / "output")
    nothing = dataclasses.replace(
        cells[0],
        pictures=tuple(
            dataclasses.replace(p, boxes=p.boxes[:0], labels=p.labels[:0], ignored=p.ignored[:0])
            for p in cells[0].pictures
        ),
    )
    with pytest.raises(DataError, match="No picture of"):
        tune((nothing, None), tmp_path / "output")
    with pytest.raises(DataError, match="no object in them that counts"):
        tune((cells[0], nothing), tmp_path / "output")


def test_damaged_weights_are_named(run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    (tmp_path / "copy/model_final.pth").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"model_final.pth cannot be loaded"):
        load_detector(tmp_path / "copy")
