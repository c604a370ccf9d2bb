import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmseg.apis import inference_model, init_model
from mmseg.evaluation import IoUMetric
from PIL import Image

from sslhsic_transfer import create_encoder
from sslhsic_transfer.adapters.mmseg import evaluate, fine_tune, load_segmentor, predict
from sslhsic_transfer.adapters.mmseg.compat import read_checkpoint
from sslhsic_transfer.data.labelled.segmentation import find_segmentation
from sslhsic_transfer.errors import CheckpointError, ConfigError, DataError, OutputExistsError, TrainingError

SMALL = {"crop": (64, 64), "batch_size": 2, "workers": 0}


@pytest.fixture(scope="module")
def tuned(camvid, model_folder, tmp_path_factory):
    """A real fine-tuning, cut short: of a saved encoder, on four pictures."""
    output = tmp_path_factory.mktemp("runs") / "fcn"
    options = {**SMALL, "model": str(model_folder), "iterations": 4, "checkpoint_every": 2}
    returned = fine_tune(camvid("train", 4), camvid("val", 2), output, **options)
    assert returned == output
    return output, options


def scalars(output: Path):
    lines = [line for path in sorted(output.rglob("scalars.json")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def test_what_it_writes(tuned):
    output, _ = tuned
    assert {"config.json", "model.pth", "iter_4.pth"} <= {path.name for path in output.iterdir()}
    assert not (output / "iter_2.pth").exists()
    assert [record["step"] for record in scalars(output) if "mIoU" in record] == [2, 4]
    rates = [record["lr"] for record in scalars(output) if "lr" in record]
    assert 0 < rates[0] < 2e-4
    assert rates[-1] == 0


def test_it_is_reloaded_without_the_encoder(tuned, camvid, model_folder):
    output, _ = tuned
    assert str(model_folder) not in (output / "config.json").read_text()
    model = load_segmentor(output)
    assert not model.training
    assert tuple(model.dataset_meta["classes"]) == camvid("val", 1).classes
    saved = read_checkpoint(str(output / "iter_4.pth"))["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


def test_bfloat16_is_for_training_only(tuned, camvid, tmp_path, convolutions):
    output, options = tuned
    halved = fine_tune(camvid("train", 4), camvid("val", 2), tmp_path / "run", **options, precision="bf16")
    assert convolutions == {"training": {torch.bfloat16}, "eval": {torch.float32}}
    exact, found = (dict(load_segmentor(run).named_parameters()) for run in (output, halved))
    assert all(value.dtype == torch.float32 for value in found.values())
    assert all((value - exact[name]).abs().max() < 0.01 for name, value in found.items())


def test_measures_as_mmseg_does(tuned, camvid):
    output, _ = tuned
    data, model = camvid("val", 2), load_segmentor(output)
    scores = evaluate(model, data)
    theirs = IoUMetric(prefix="test")
    theirs.dataset_meta = {"classes": data.classes}
    for index, found in enumerate(predict(model, [path for path, _ in data.pairs])):
        label = data.read_mask(index)
        assert found.shape == label.shape == (360, 480)
        arrays = (torch.from_numpy(found.astype(np.int64)), torch.from_numpy(label.astype(np.int64)))
        theirs.results.append(IoUMetric.intersect_and_union(*arrays, len(data.classes), 255))
    expected = theirs.compute_metrics(theirs.results)
    assert 100 * scores.mean_iou == pytest.approx(expected["mIoU"], abs=0.006)
    assert 100 * scores.accuracy == pytest.approx(expected["aAcc"], abs=0.006)
    logged = [record["mIoU"] for record in scalars(output) if "mIoU" in record][-1]
    assert 100 * scores.mean_iou == pytest.approx(logged, abs=0.006)
    assert scores.matrix.sum() == sum((data.read_mask(i) != 255).sum() for i in range(2))
    assert list(scores.iou) == list(data.classes)


def test_mmsegs_own_inference_agrees(tuned, camvid):
    output, _ = tuned
    path = str(camvid("val", 1).pairs[0][0])
    (expected,) = predict(output, [path])
    for model in (
        load_segmentor(output),
        init_model(str(output / "config.json"), str(output / "model.pth"), device="cpu"),
    ):
        np.testing.assert_array_equal(inference_model(model, path).pred_sem_seg.data[0].numpy(), expected)


def test_it_goes_on_from_a_checkpoint(tuned, camvid, tmp_path):
    """Stopped after two of four iterations, it goes on with weights, optimizer and schedule as they were."""
    options = tuned[1]
    data = camvid("train", 4), camvid("val", 1)
    stopped = stop_after(2, *data, tmp_path / "run", options)
    before = read_checkpoint(str(stopped / "iter_2.pth"))
    assert not (stopped / "model.pth").exists()
    fine_tune(*data, stopped, **{**options, "workers": 1}, resume=True)  # shapes no result
    after = read_checkpoint(str(stopped / "iter_4.pth"))
    assert after["meta"]["iter"] == 4
    steps = [{int(state["step"]) for state in c["optimizer"]["state"].values()} for c in (before, after)]
    assert steps == [{2}, {4}]
    assert [record["iter"] for record in scalars(stopped) if "loss" in record] == [2, 4]
    name = "backbone.conv1.weight"
    assert 0 < (after["state_dict"][name] - before["state_dict"][name]).abs().max() < 2e-3
    load_segmentor(stopped)

    with pytest.raises(CheckpointError, match="other settings"):
        fine_tune(*data, stopped, **{**options, "learning_rate": 1.0}, resume=True)
    with pytest.raises(OutputExistsError, match="holds a run already"):
        fine_tune(*data, stopped, **options)
    torch.save({**after, "meta": {**after["meta"], "config": "raise SystemExit"}}, stopped / "iter_4.pth")
    with pytest.raises(CheckpointError, match="a config to be run"):
        fine_tune(*data, stopped, **options, resume=True)
    (stopped / "iter_4.pth").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="cannot be read"):
        fine_tune(*data, stopped, **options, resume=True)


def stop_after(iterations, train, val, output, options):
    from mmengine.runner import IterBasedTrainLoop

    class Stopped(Exception):  # noqa: N818 - not an error
        pass

    whole = IterBasedTrainLoop.run_iter

    def run_iter(self, batch):
        if self._iter == iterations:
            raise Stopped
        whole(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IterBasedTrainLoop, "run_iter", run_iter)
        with pytest.raises(Stopped):
            fine_tune(train, val, output, **options)
    return output


@pytest.mark.parametrize(
    ("log_every", "message"), [(1, r"(loss is (nan|inf)|Weights are no longer finite) at step"), (50, "at step 6")]
)
def test_a_run_that_diverges_stops_and_saves_nothing_of_it(camvid, tmp_path, log_every, message):
    options = {**SMALL, "architecture": "resnet18", "optimizer": "sgd", "learning_rate": 1e20, "iterations": 8}
    with pytest.raises(TrainingError, match=message):
        fine_tune(camvid("train", 4), None, tmp_path / "run", **options, checkpoint_every=6, log_every=log_every)
    assert not list((tmp_path / "run").glob("*.pth"))


def test_the_seed_decides(made, tmp_path):
    data = find_segmentation(made, "train"), find_segmentation(made, "val")
    options = {
        **SMALL,
        "architecture": "resnet18",
        "iterations": 2,
        "checkpoint_every": 2,
        "optimizer": "sgd",
        "learning_rate": 0.01,
    }
    runs = [fine_tune(*data, tmp_path / str(n), **options, seed=seed) for n, seed in enumerate((3, 3, 4))]
    first, same, other = (read_checkpoint(str(run / "model.pth"))["state_dict"] for run in runs)
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    for name in ("backbone.conv1.weight", "decode_head.conv_seg.weight"):
        assert not torch.allclose(first[name], other[name], atol=0.01)


def test_it_learns(made, tmp_path):
    """Classes that colors tell, from random weights."""
    data = find_segmentation(made, "train")
    stripes = np.repeat(np.arange(3, dtype=np.uint8), 32)[None].repeat(80, 0)
    for (picture, mask), classes in zip(data.pairs, (stripes, stripes[:, ::-1]), strict=True):
        Image.fromarray(np.ascontiguousarray(classes)).save(mask)
        Image.fromarray((classes[..., None] * 80).repeat(3, axis=2).astype(np.uint8)).save(picture)
    options = {**SMALL, "iterations": 20, "checkpoint_every": 4, "learning_rate": 1e-3}
    output = fine_tune(data, data, tmp_path / "run", architecture="resnet18", **options)
    losses = [record["loss"] for record in scalars(output) if "loss" in record]
    assert losses[-1] < 0.85 * losses[0]


@pytest.mark.parametrize(("head", "stride"), [("deeplabv3plus", 16), ("upernet", 32)])
def test_other_heads_of_a_wide_frozen_encoder(made, tmp_path, head, stride):
    train = find_segmentation(made, "train")
    encoder = create_encoder("resnet18", padding="same", width=2)
    options = {**SMALL, "iterations": 1, "network": head, "output_stride": stride, "freeze_at": 5, "norm_eval": True}
    output = fine_tune(train, find_segmentation(made, "val"), tmp_path / "run", model=encoder, **options)
    model = load_segmentor(output)
    state = model.backbone.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    assert model.backbone.specs["c5"].stride == stride
    assert evaluate(model, train).matrix.shape == (3, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "unet"}, "network: got 'unet'"),
        ({"optimizer": "lars", "schedule": "flat"}, "schedule: got 'flat'"),
        ({"iterations": 0}, "expected 1 or more"),
        ({"precision": "fp16"}, "precision: got 'fp16' without an accelerator"),
        ({"architecture": None}, "no weights"),
    ],
)
def test_what_cannot_be_is_refused(made, tmp_path, options, message):
    data = find_segmentation(made, "train")
    with pytest.raises(ConfigError, match=message):
        fine_tune(data, data, tmp_path / "run", **{**SMALL, "architecture": "resnet18", **options})
    assert not (tmp_path / "run").exists()


def test_data_that_do_not_belong_together_are_refused(made, camvid, tuned, tmp_path):
    data = find_segmentation(made, "train")
    with pytest.raises(DataError, match="classes differ"):
        fine_tune(data, camvid("val", 1), tmp_path / "run", architecture="resnet18", **SMALL)
    with pytest.raises(DataError, match="the segmentor knows 11"):
        evaluate(tuned[0], data)


def test_a_damaged_model_is_told(tuned, tmp_path):
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_segmentor(tmp_path)
    for name in ("config.json", "model.pth"):
        (tmp_path / name).write_bytes((tuned[0] / name).read_bytes())
    saved = read_checkpoint(str(tmp_path / "model.pth"))
    del saved["state_dict"]["decode_head.conv_seg.bias"]
    torch.save(saved, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="does not fit"):
        load_segmentor(tmp_path)
