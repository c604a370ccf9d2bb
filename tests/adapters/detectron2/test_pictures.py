"""A network receives, by every way to it, the picture that `load_image` reads, normalized by the encoder's numbers."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from detectron2.config import LazyCall, LazyConfig, get_cfg, instantiate
from detectron2.data import DatasetMapper, build_detection_test_loader
from detectron2.engine import DefaultTrainer
from detectron2.modeling import build_model
from omegaconf import OmegaConf
from PIL import Image

from sslhsic_transfer import Preprocessing, create_encoder
from sslhsic_transfer.adapters.detectron2 import (
    PictureMapper,
    SSLHSICBackbone,
    build_test_loader,
    build_train_loader,
    config_file,
    configure,
    fine_tune,
    load_config,
    load_detector,
    register,
)
from sslhsic_transfer.adapters.detectron2.lazy import use_encoder
from sslhsic_transfer.adapters.detectron2.trainer import SSLHSICTrainer
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.data.labelled.detection import BoxedPicture, DetectionData
from sslhsic_transfer.errors import ImageError
from tests.adapters.detectron2.networks import SMALL
from tests.odd_pictures import NAMES, SIZE, noting_inputs, write_odd_picture

TINY = {"sides": SIZE[1:], "longest_side": 200, "batch_size": 1, "iterations": len(NAMES), "learning_rate": 1e-4}


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return create_encoder("resnet18", preprocessing=Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3)))


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Make a picture of each kind, with one box."""
    root = tmp_path_factory.mktemp("odd")
    box = np.array([[8, 8, 60, 50]], np.float32)
    pictures = [
        BoxedPicture(number, write_odd_picture(root / name), SIZE, box, np.zeros(1, int), np.zeros(1, bool))
        for number, name in enumerate(NAMES)
    ]
    return DetectionData("odd", "train", tuple(pictures), ("thing",))


@pytest.fixture
def received(monkeypatch):
    """The inputs of encoders, in training and in evaluation."""
    return noting_inputs(monkeypatch, SSLHSICBackbone)


@pytest.fixture
def settings(odd, encoder, tmp_path):
    """Make a configuration as a user writes it, for the registered data."""
    cfg = load_config("faster_rcnn_fpn")
    configure(cfg, encoder)
    cfg.merge_from_list([part for setting in SMALL.items() for part in setting])
    cfg.MODEL.DEVICE, cfg.MODEL.RESNETS.NORM, cfg.MODEL.FPN.NORM = "cpu", "BN", ""
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = SIZE[1:], SIZE[1]
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (register(odd),)
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR = 1, len(NAMES), 1e-4
    cfg.SOLVER.STEPS, cfg.DATALOADER.NUM_WORKERS = (), 0
    cfg.OUTPUT_DIR = str(tmp_path / "own")
    (tmp_path / "own").mkdir()
    return cfg


def expected(data, encoder):
    mean, std = (torch.tensor(part)[:, None, None] for part in (encoder.preprocessing.mean, encoder.preprocessing.std))
    for picture in data.pictures:
        yield (torch.from_numpy(np.array(load_image(picture.path))).permute(2, 0, 1) / 255 - mean) / std


def matches(image, wanted):
    return image.shape == wanted.shape and torch.allclose(image, wanted, atol=1e-4)


def assert_each_once(images, data, encoder):
    for wanted in expected(data, encoder):
        assert sum(matches(image, wanted) or matches(image.flip(2), wanted) for image in images) == 1
    assert len(images) == len(data.pictures)


def pixels(batches, count):
    """Return the RGB pictures, (H, W, 3), of a loader's first batches."""
    return [batch[0]["image"].permute(1, 2, 0).numpy() for batch, _ in zip(batches, range(count), strict=False)]


def assert_as_read(found, data):
    for image, picture in zip(found, data.pictures, strict=True):
        np.testing.assert_array_equal(image, np.asarray(load_image(picture.path)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_network_receives_what_load_image_reads(odd, encoder, received, tmp_path, workers):
    output = fine_tune(odd, odd, tmp_path / "run", model=encoder, settings=SMALL, workers=workers, **TINY)
    assert_each_once(received[True], odd, encoder)
    assert all(map(matches, received[False], expected(odd, encoder)))
    received[False].clear()
    load_detector(output).predict(odd)
    assert all(map(matches, received[False], expected(odd, encoder)))
    assert len(received[False]) == len(NAMES)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_configuration_without_a_seed_reads_the_same(odd, encoder, settings, received, workers):
    settings.SEED, settings.DATALOADER.NUM_WORKERS = -1, workers
    settings.SOLVER.MAX_ITER = 3
    trainer = SSLHSICTrainer(settings)
    trainer.train()
    found = received[True]
    wanted = list(expected(odd, encoder))
    assert len(found) == 3
    assert all(any(matches(image, one) or matches(image.flip(2), one) for one in wanted) for image in found)


@pytest.mark.parametrize("workers", [0, 2])
def test_tests_of_a_configuration_read_the_same(odd, encoder, settings, received, workers):
    settings.DATALOADER.NUM_WORKERS = workers
    SSLHSICTrainer.test(settings, build_model(settings).eval())
    assert all(map(matches, received[False], expected(odd, encoder)))
    assert len(received[False]) == len(NAMES)


@pytest.mark.parametrize("grouped", [True, False])
def test_loaders_for_a_trainer_of_ones_own(odd, settings, grouped):
    settings.SEED, settings.DATALOADER.ASPECT_RATIO_GROUPING, settings.INPUT.RANDOM_FLIP = -1, grouped, "none"
    own = [np.asarray(load_image(picture.path)) for picture in odd.pictures]
    for image in pixels(build_train_loader(settings), 12):
        assert any(np.array_equal(image, one) for one in own)
    (name,) = settings.DATASETS.TEST
    assert_as_read(pixels(build_test_loader(settings, name), len(own)), odd)
    mapper = PictureMapper(settings, is_train=False)
    assert_as_read(pixels(build_detection_test_loader(settings, name, mapper=mapper), len(own)), odd)


def test_lazy_configurations_read_the_same(odd, encoder, tmp_path):
    folder = encoder.save_pretrained(tmp_path / "encoder")
    cfg = LazyConfig.load(str(config_file("mask_rcnn_fpn_1x_lazy")))
    assert cfg.dataloader.train.mapper["_target_"] is PictureMapper
    assert cfg.dataloader.test.mapper["_target_"] is PictureMapper
    for part in (cfg.dataloader.train, cfg.dataloader.test):
        part.dataset.names, part.num_workers = register(odd), 0
    cfg.dataloader.test.mapper.augmentations = []
    assert_as_read(pixels(instantiate(cfg.dataloader.test), len(NAMES)), odd)
    cfg.dataloader.train.mapper.augmentations = []
    cfg.dataloader.train.mapper.use_instance_mask = False
    cfg.dataloader.train.total_batch_size = 1
    own = [np.asarray(load_image(picture.path)) for picture in odd.pictures]
    found = pixels(instantiate(cfg.dataloader.train), 6)
    assert all(any(np.array_equal(image, one) for one in own) for image in found)
    LazyConfig.save(cfg, str(tmp_path / "saved.yaml"))
    again = LazyConfig.load(str(tmp_path / "saved.yaml"))
    again.dataloader.test.num_workers = 0
    assert_as_read(pixels(instantiate(again.dataloader.test), len(NAMES)), odd)
    assert again.dataloader.test.mapper.image_format == "RGB"
    assert folder.is_dir()


def test_a_lazy_mapper_of_another_kind_stays():
    class Own(DatasetMapper):
        pass

    model = LazyConfig.load(str(config_file("mask_rcnn_fpn_1x_lazy"))).model
    dataloader = OmegaConf.create()
    dataloader.train = LazyCall(build_detection_test_loader)(
        mapper=LazyCall(Own)(is_train=True, augmentations=[], image_format="BGR")
    )
    named = "detectron2.data.dataset_mapper.DatasetMapper"
    dataloader.test = LazyCall(build_detection_test_loader)(
        mapper=LazyCall(named)(is_train=False, augmentations=[], image_format="BGR")
    )
    model.backbone.bottom_up.out_features = ["res2", "res3", "res4", "res5"]
    use_encoder(model, dataloader)
    assert dataloader.train.mapper["_target_"] is Own
    assert dataloader.test.mapper["_target_"] is PictureMapper
    assert [dataloader[part].mapper.image_format for part in ("train", "test")] == ["RGB", "RGB"]
    del dataloader["test"]
    use_encoder(model, dataloader)


@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
def test_detectron2s_own_loaders_read_registered_data_the_same(odd, settings, tmp_path, image_format):
    (tmp_path / "more").mkdir()
    first, exif = odd.pictures[0], Image.Exif()
    exif[274] = 8
    turned = (
        Image.open(odd.pictures[NAMES.index("alpha.png")].path).convert("RGB").transpose(Image.Transpose.ROTATE_270)
    )
    turned.save(tmp_path / "turned.tif", exif=exif)
    more = dataclasses.replace(first, id=99, path=tmp_path / "turned.tif")
    data = dataclasses.replace(odd, pictures=(*odd.pictures, more))
    settings.INPUT.FORMAT, settings.DATASETS.TEST = image_format, (register(data),)
    (name,) = settings.DATASETS.TEST
    for loader in (DefaultTrainer.build_test_loader(settings, name), build_test_loader(settings, name)):
        found = pixels(loader, len(data.pictures))
        assert_as_read([image[..., ::-1] if image_format == "BGR" else image for image in found], data)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("seed", [0, -1])
@pytest.mark.parametrize("part", ["train", "test"])
def test_an_unreadable_picture_is_named_as_it_is(odd, settings, tmp_path, workers, seed, part):
    damaged = write_odd_picture(tmp_path / "turned.jpg")
    damaged.write_bytes(damaged.read_bytes()[:-400])
    first = odd.pictures[0]
    data = DetectionData(
        "damaged", part, (BoxedPicture(1, damaged, SIZE, first.boxes, first.labels, first.ignored),), ("thing",)
    )
    settings.SEED, settings.DATALOADER.NUM_WORKERS = seed, workers
    settings.DATASETS.TRAIN = settings.DATASETS.TEST = (register(data),)
    loader = build_train_loader(settings) if part == "train" else build_test_loader(settings, settings.DATASETS.TEST[0])
    with pytest.raises(ImageError) as caught:
        next(iter(loader))
    assert str(damaged) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_batches_do_not_depend_on_how_many_processes_read(odd, settings):
    settings.SEED, settings.SOLVER.IMS_PER_BATCH = 3, 2

    def ids(workers, start):
        settings.DATALOADER.NUM_WORKERS = workers
        batches = build_train_loader(settings, start)
        return [[item["image_id"] for item in batch] for batch, _ in zip(batches, range(6), strict=False)]

    whole = ids(0, 0)
    assert ids(2, 0) == ids(3, 0) == whole
    assert ids(2, 3)[:3] == whole[3:]


def test_where_a_picture_cannot_be_read_the_steps_before_are_saved(odd, encoder, tmp_path):
    options = {**TINY, "model": encoder, "workers": 0, "iterations": 4}
    options["settings"] = {**SMALL, "SOLVER.CHECKPOINT_PERIOD": 100}
    whole = fine_tune(odd, None, tmp_path / "whole", **options)
    order = [batch[0]["image_id"] for batch, _ in zip(_batches_of(whole), range(4), strict=False)]
    (damaged,) = (picture.path for picture in odd.pictures if picture.id == order[2])
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])
    try:
        with pytest.raises(ImageError, match=r"(?s)as a picture.*saved in .*model_0000001\.pth"):
            fine_tune(odd, None, tmp_path / "run", **options)
    finally:
        damaged.write_bytes(content)
    fine_tune(odd, None, tmp_path / "run", **options, resume=True)
    wanted, found = (torch.load(run / "model_final.pth")["model"] for run in (whole, tmp_path / "run"))
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    logged = [json.loads(line)["iteration"] for line in (tmp_path / "run/metrics.json").read_text().splitlines()]
    assert logged


def _batches_of(run):
    cfg = get_cfg()
    cfg.set_new_allowed(True)
    cfg.merge_from_file(str(run / "config.yaml"))
    return build_train_loader(cfg)
