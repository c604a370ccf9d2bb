"""A network receives, by every way to it, the picture that `load_image` reads, normalized by the encoder's numbers."""

import json
import re
import warnings

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmseg.apis import MMSegInferencer, inference_model
from PIL import Image

from sslhsic_transfer import Preprocessing, create_encoder
from sslhsic_transfer.adapters.mmseg import (
    CONFIGS,
    SSLHSICDataset,
    SSLHSICEncoder,
    evaluate,
    fine_tune,
    load_segmentor,
    predict,
)
from sslhsic_transfer.adapters.mmseg.config_runner import fit_model
from sslhsic_transfer.adapters.mmseg.transforms import with_our_readers
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.data.labelled.segmentation import find_segmentation
from sslhsic_transfer.errors import CheckpointError, ConfigError, DataError, ImageError
from tests.adapters.mmseg.test_configs import lay_out
from tests.odd_pictures import NAMES, SIZE, noting_inputs, write_odd_picture

OLDER = {"type": "LoadImageFromFile", "imdecode_backend": "pillow"}
TINY = {"crop": SIZE[::-1], "scale": (1, 1), "batch_size": 1, "iterations": len(NAMES), "checkpoint_every": len(NAMES)}


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return create_encoder("resnet18", preprocessing=Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3)))


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Make a picture of each kind in both splits."""
    root = tmp_path_factory.mktemp("odd")
    for split in ("train", "val"):
        for folder in ("images", "masks"):
            (root / folder / split).mkdir(parents=True)
        for name in NAMES:
            picture = write_odd_picture(root / "images" / split / name)
            mask = np.zeros(SIZE[::-1], np.uint8)
            mask[:, 40:] = 1
            Image.fromarray(mask).save(root / "masks" / split / f"{picture.stem}.png")
    (root / "classes.txt").write_text("one\ntwo\n")
    return root


@pytest.fixture
def received(monkeypatch):
    """The inputs of backbones, in training and in evaluation."""
    return noting_inputs(monkeypatch, SSLHSICEncoder)


def expected(data, encoder):
    mean, std = (
        torch.tensor(numbers)[:, None, None] for numbers in (encoder.preprocessing.mean, encoder.preprocessing.std)
    )
    for path, _ in data.pairs:
        yield (torch.from_numpy(np.array(load_image(path))).permute(2, 0, 1) / 255 - mean) / std


def matches(image, wanted):
    return image.shape == wanted.shape and torch.allclose(image, wanted, atol=1e-4)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_network_receives_what_load_image_reads(odd, encoder, received, tmp_path, workers):
    train, val = (find_segmentation(odd, split) for split in ("train", "val"))
    output = fine_tune(train, val, tmp_path / "run", model=encoder, workers=workers, **TINY)
    assert len(received[True]) == len(received[False]) == len(NAMES)
    for wanted in expected(train, encoder):
        found = [image for image in received[True] if matches(image, wanted) or matches(image.flip(2), wanted)]
        assert len(found) == 1
    paths = [path for path, _ in val.pairs]
    segmentor = load_segmentor(output)
    for measure in (
        lambda: None,  # the run's own measuring
        lambda: predict(output, paths),
        lambda: evaluate(segmentor, val),
        lambda: [inference_model(segmentor, str(path)) for path in paths],
    ):
        measure()
        assert all(map(matches, received[False], expected(val, encoder)))
        assert len(received[False]) == len(NAMES)
        received[False].clear()
        if workers:
            break  # nothing of what follows has readers


def test_mmsegs_readers_are_ours_in_our_dataset(odd):
    steps = [OLDER, {"type": "LoadAnnotations"}, {"type": "PackSegInputs"}]
    dataset = SSLHSICDataset(str(odd), "val", pipeline=steps)
    for index, (path, _) in enumerate(dataset.data.pairs):
        example = dataset[index]
        rgb = example["inputs"].flip(0).permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(rgb, np.asarray(load_image(path)))
        np.testing.assert_array_equal(example["data_samples"].gt_sem_seg.data[0], dataset.data.read_mask(index))


def test_readers_are_replaced_wherever_they_stand():
    from mmcv.transforms import LoadImageFromFile

    ours, pack = {"type": "LoadSSLHSICPicture"}, {"type": "PackSegInputs"}
    nested = {"type": "TestTimeAug", "transforms": [[dict(OLDER)], [pack]]}
    steps = [ConfigDict(OLDER), LoadImageFromFile(to_float32=True), {"type": "mmcv.LoadImageFromFile"}, nested]
    found = with_our_readers(steps)
    assert found[:3] == [ours, {**ours, "to_float32": True}, ours]
    assert found[3] == {"type": "TestTimeAug", "transforms": [[ours], [pack]]}
    assert nested["transforms"][0] == [OLDER]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"type": "LoadImageFromFile", "color_type": "unchanged"}, "color_type='unchanged'"),
        ({"type": "LoadImageFromFile", "ignore_empty": True}, "ignore_empty=True"),
        ({"type": "LoadAnnotations", "reduce_zero_label": True}, "reduce_zero_label=True"),
    ],
)
def test_options_that_ours_does_not_have_are_refused(odd, step, message):
    with pytest.raises(ConfigError, match=message):
        SSLHSICDataset(str(odd), "val", pipeline=[step])


def test_mmsegs_inferencer_reads_as_ours_does(odd, encoder, received, tmp_path):
    """By a config here, or by any whose reader names this library's storage; arrays stay mmseg's BGR."""
    lay_out("camvid", tmp_path)
    encoder.save_pretrained(tmp_path / "model")
    config = Config.fromfile(CONFIGS / "fcn_camvid.py")
    config.merge_from_dict({"model.backbone.model": str(tmp_path / "model"), "data_root": str(tmp_path)})
    fit_model(config.model, encoder)
    config.visualizer.name = "inferencer"  # names are global
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would rather have a checkpoint
        inferencer = MMSegInferencer(config, device="cpu", show_progress=False)
    data = find_segmentation(odd, "val")
    paths = [str(path) for path, _ in data.pairs]
    found = inferencer(paths, batch_size=1)["predictions"]
    assert all(map(matches, received[False], expected(data, encoder)))
    assert len(received[False]) == len(NAMES)
    for prediction, ours in zip(found, predict(inferencer.model, paths), strict=True):
        np.testing.assert_array_equal(prediction, ours)
    bgr = np.asarray(load_image(paths[0]))[..., ::-1]
    np.testing.assert_array_equal(inferencer(np.ascontiguousarray(bgr))["predictions"], found[0])

    damaged = tmp_path / "damaged.png"
    damaged.write_bytes((odd / "images/val/gray16.png").read_bytes()[:200])
    with pytest.raises(ImageError, match=r"damaged\.png"):
        inferencer(str(damaged))


def test_floating_pictures_have_the_same_values(odd):
    path = str(odd / "images/val/gray16.png")
    (step,) = with_our_readers([{**OLDER, "to_float32": True}])
    dataset = SSLHSICDataset(str(odd), "val", pipeline=[step])
    image = dataset.pipeline({"img_path": path})["img"]
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image[..., ::-1], np.asarray(load_image(path)))


@pytest.mark.parametrize("order", [1, -1])
def test_masks_of_another_size_are_named_whichever_is_read_first(odd, tmp_path, order):
    data = find_segmentation(odd, "train")
    other = tmp_path / "other.png"
    Image.new("L", (48, 32)).save(other)
    pairs = ((data.pairs[0][0], other), *data.pairs[1:])
    steps = [{"type": "LoadSSLHSICPicture"}, {"type": "LoadSSLHSICMask"}][::order]
    object.__setattr__(data, "pairs", pairs)
    dataset = SSLHSICDataset(data=data, pipeline=steps)
    with pytest.raises(DataError, match=r"has 96 × 64 pixels, its mask .*other\.png 48 × 32"):
        dataset[0]


def test_masks_of_another_data_set_are_refused():
    (step,) = SSLHSICDataset.__mro__[1](pipeline=[{"type": "LoadSSLHSICMask"}], lazy_init=True).pipeline.transforms
    with pytest.raises(ConfigError, match=r"mine\.png of another data set"):
        step({"img_path": "a.png", "seg_map_path": "mine.png"})


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("split", ["train", "val"])
def test_an_unreadable_picture_is_named_as_it_is(made, tmp_path, encoder, workers, split):
    damaged = made / "images" / split / "a.png"
    train, val = (find_segmentation(made, name) for name in ("train", "val"))
    damaged.write_bytes(damaged.read_bytes()[:-400])
    options = {**TINY, "iterations": 4, "checkpoint_every": 1, "workers": workers}
    with pytest.raises(ImageError) as caught:
        fine_tune(train, val, tmp_path / "run", model=encoder, **options)
    assert str(damaged) in str(caught.value)
    _, *saved = str(caught.value).split("\n")
    assert not saved or re.fullmatch(r"The steps before are saved in \S*iter_\d\.pth: .* --resume\.", saved[0])
    assert not (tmp_path / "run/model.pth").exists()


def test_runs_of_older_versions_go_on_and_load(odd, encoder, received, tmp_path):
    """Their config names mmseg's reader of pictures, which read 16 bits, floating values and transparency otherwise."""
    from tests.adapters.mmseg.test_runner import stop_after

    data = tuple(find_segmentation(odd, split) for split in ("train", "val"))
    options = {**TINY, "workers": 0, "model": encoder, "iterations": 2, "checkpoint_every": 1}
    output = stop_after(1, *data, tmp_path / "run", options)
    config = json.loads((output / "config.json").read_text())
    assert config["test_pipeline"][0] == {"type": "LoadSSLHSICPicture"}
    older = {**config, "test_pipeline": [OLDER, *config["test_pipeline"][1:]]}
    (output / "config.json").write_text(json.dumps(older))
    fine_tune(*data, output, **options, resume=True)
    assert json.loads((output / "config.json").read_text()) == config

    (output / "config.json").write_text(json.dumps(older))
    segmentor = load_segmentor(output)
    received[False].clear()
    for path, _ in data[1].pairs:
        inference_model(segmentor, str(path))
    assert all(map(matches, received[False], expected(data[1], encoder)))

    with pytest.raises(CheckpointError, match="other settings"):
        fine_tune(*data, output, **{**options, "learning_rate": 1.0}, resume=True)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"test_pipeline": 3}'])
def test_a_damaged_config_is_named(tmp_path, made, content):
    for name in ("config.json", "model.pth"):
        (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read as the config of a fine-tune"):
        load_segmentor(tmp_path)
    data = find_segmentation(made, "train")
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read as the config of a fine-tune"):
        fine_tune(data, None, tmp_path, architecture="resnet18", resume=True, **TINY)
