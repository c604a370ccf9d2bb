import json
from functools import partial

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession
from torch import nn
from torchvision.models.detection.roi_heads import paste_masks_in_image

from sslhsic_transfer.adapters.depth import DepthModel
from sslhsic_transfer.adapters.onnx import DenseNetwork, OnnxDenseModel, export_dense, verify_dense
from sslhsic_transfer.adapters.torchvision import deeplabv3, faster_rcnn, fcn, lraspp, mask_rcnn, retinanet
from sslhsic_transfer.errors import ConfigError, ExportError, InputError, OutputExistsError, VerificationError
from tests.adapters.onnx.dense.networks import CLASSES, detector, encoder, segmentor, segments, stirred

SHAPES = ((2, 3, 47, 75), (1, 3, 140, 90))


def of_torchvision(build, **options):
    network = stirred(build(encoder(**options), len(CLASSES)))
    return segments(network, build.__name__), lambda images: network(images)["out"]


def of_mmseg(head):
    network = segmentor(head)

    def logits(images):
        size = tuple(images.shape[-2:])
        return network.encode_decode(images, [{"img_shape": size, "ori_shape": size}])

    return segments(network, head, "mmseg"), logits


def of_depth(head):
    network = stirred(DepthModel(encoder(), head))
    return DenseNetwork(network, "depth", "depth", head, "trial", encoder().preprocessing), network


@pytest.mark.parametrize(
    "make",
    [
        partial(of_torchvision, deeplabv3, padding="same"),
        partial(of_mmseg, "upernet"),
        partial(of_depth, "dpt"),
        partial(of_depth, "upproj"),
    ],
    ids=["deeplabv3 padded as by JAX", "upernet", "dpt", "upproj"],
)
def test_maps_are_the_networks_own_at_any_size(make, tmp_path):
    dense, network = make()
    report = export_dense(dense, tmp_path / "dense.onnx")
    assert report.verification.passed
    session = InferenceSession(tmp_path / "dense.onnx")
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    torch.manual_seed(2)
    for shape in SHAPES:
        images = torch.randn(shape)
        with torch.inference_mode():
            expected = network(images).numpy()
        (found,) = session.run(None, {"images": images.numpy()})
        assert expected.std() > 1e-3, "nothing to compare"
        assert found.shape == expected.shape == (shape[0], found.shape[1], *shape[2:])
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("build", [faster_rcnn, retinanet])
def test_detections_are_the_networks_own_at_any_size(build, tmp_path, blood_cells):
    dense = detector(build)
    path = tmp_path / "detector.onnx"
    export_dense(dense, path, pictures=blood_cells, input="resized")
    model = OnnxDenseModel.from_file(path)
    random = np.random.default_rng(0)
    for height, width in ((70, 110), (151, 64), (90, 333)):
        picture = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        with torch.inference_mode():
            (expected,) = dense.network([torch.from_numpy(picture).permute(2, 0, 1) / 255])
        found = model.predict(picture)
        assert len(expected["scores"]) > 20
        for best in range(10):  # in whatever order equal scores come
            twin = np.abs(found.boxes - expected["boxes"][best].numpy()).max(axis=1).argmin()
            assert np.abs(found.boxes[twin] - expected["boxes"][best].numpy()).max() < 0.05
            assert abs(found.scores[twin] - expected["scores"][best].item()) < 1e-3
            assert found.labels[twin] == expected["labels"][best].item() - 1


def test_masks_are_the_networks_own_once_pasted(tmp_path):
    dense = detector(mask_rcnn, box_detections_per_img=8)
    export_dense(dense, tmp_path / "masks.onnx")
    session = InferenceSession(tmp_path / "masks.onnx")
    picture = torch.rand(3, 90, 120, generator=torch.Generator().manual_seed(0))
    mean, std = (
        torch.tensor(values).reshape(3, 1, 1) for values in (dense.preprocessing.mean, dense.preprocessing.std)
    )
    with torch.inference_mode():
        (expected,) = dense.network([picture])
    boxes, _, labels, masks = session.run(None, {"images": ((picture - mean) / std)[None].numpy()})
    assert masks.shape == (8, 1, 28, 28)
    assert np.array_equal(labels, expected["labels"] - 1)
    pasted = paste_masks_in_image(torch.from_numpy(masks), torch.from_numpy(boxes), (90, 120))
    assert (pasted - expected["masks"]).abs().mean() < 1e-4
    assert expected["masks"].max() > 0.1


def test_nothing_found_is_an_answer(tmp_path):
    dense = detector(faster_rcnn)
    dense.network.roi_heads.score_thresh = 1.0
    report = export_dense(dense, tmp_path / "detector.onnx")
    assert report.verification.value("detections") == 0
    assert report.verification.value("without a least score: detections") > 100
    found = OnnxDenseModel.from_file(tmp_path / "detector.onnx").predict(np.zeros((64, 80, 3), np.uint8))
    assert (found.boxes.shape, found.scores.shape, found.labels.shape) == ((0, 4), (0,), (0,))


def test_what_a_file_says_of_itself(exported):
    path, dense = exported
    model = OnnxDenseModel.from_file(path)
    info = model.info
    assert (info.task, info.framework, info.network, info.model) == ("segmentation", "torchvision", "fcn", "trial")
    assert (info.classes, info.preprocessing, info.resize) == (CLASSES, dense.preprocessing, 64)
    assert (info.input, info.outputs, info.precision, info.opset) == ("resized", ("logits", "classes"), "fp32", 20)
    entries = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(entries["sslhsic.classes"]) == list(CLASSES)
    assert json.loads(entries["sslhsic.preprocessing"])["mean"] == list(dense.preprocessing.mean)
    assert len(entries["sslhsic.weights_sha256"]) == 64


def test_classes_are_those_of_the_largest_logits(exported):
    model = OnnxDenseModel.from_file(exported[0])
    pictures = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), dtype=np.uint8)
    found = model.run(pictures)
    assert (found["classes"].dtype, found["classes"].shape) == (np.uint8, (2, 50, 70))
    assert np.array_equal(found["classes"], found["logits"].argmax(axis=1))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 64, 64, 3), np.float32), r"Got float32 of shape .*; expected \(B, H, W, 3\) uint8"),
        (np.zeros((64, 64, 3), np.uint8), r"expected \(B, H, W, 3\) uint8"),
        (np.zeros((1, 3, 64, 64), np.uint8), r"this file takes \(any, any, any, 3\)"),
        ([1], "Got list; expected an array"),
    ],
)
def test_input_that_cannot_be_used(exported, images, message):
    with pytest.raises(InputError, match=message):
        OnnxDenseModel.from_file(exported[0]).run(images)


def test_fixed_batch_and_size(tmp_path):
    dense = segments(stirred(lraspp(encoder(), len(CLASSES))), "lraspp")
    export_dense(dense, tmp_path / "fixed.onnx", batch=2, size=(64, 96), outputs=["classes"], opset=18)
    model = OnnxDenseModel.from_file(tmp_path / "fixed.onnx")
    assert model.session.get_inputs()[0].shape == [2, 3, 64, 96]
    with pytest.raises(InputError, match=r"shape \(2, 3, 64, 64\); this file takes \(2, 3, 64, 96\)"):
        model.run(np.zeros((2, 3, 64, 64), np.float32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"outputs": ["depth"]}, "Got outputs depth; expected some of logits, classes, each once"),
        ({"outputs": []}, r"Got outputs \(none\)"),
        ({"opset": 17, "batch": 0, "size": 16}, r"(?s)opset: got 17.*batch: got 0.*size: got 16 × 16"),
    ],
)
def test_options_that_do_not_fit(options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        export_dense(segments(nn.Conv2d(3, 3, 1)), tmp_path / "dense.onnx", **options)


def test_options_that_detectors_do_not_have(tmp_path):
    dense = detector(retinanet)
    with pytest.raises(ConfigError, match=r"(?s)opset: got 21; expected one from 18 to 20.*batch: got 2; expected 1"):
        export_dense(dense, tmp_path / "dense.onnx", opset=21, batch=2)
    with pytest.raises(ConfigError, match="Got outputs masks; expected some of boxes, scores, labels"):
        export_dense(dense, tmp_path / "dense.onnx", outputs=["masks"])


def test_a_file_is_not_replaced_unasked(exported):
    with pytest.raises(OutputExistsError, match="--overwrite"):
        export_dense(exported[1], exported[0])


def test_a_file_is_named_for_what_it_is(exported, tmp_path):
    with pytest.raises(ConfigError, match=r"'dense\.bin'; expected one that ends in \.onnx"):
        export_dense(exported[1], tmp_path / "dense.bin")


class Applied(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images: images * torch.linalg.svdvals(images).mean(), r"_linalg_svd"),
        (torch.tan, r"becomes the operators Tan, which files of dense models may not hold"),
    ],
)
def test_a_refused_operator_names_itself(function, message, tmp_path):
    with pytest.raises(ExportError, match=message):
        export_dense(segments(Applied(function)), tmp_path / "dense.onnx")
    assert not list(tmp_path.iterdir())


def test_a_refused_operator_of_a_detector_names_itself(tmp_path):
    dense = detector(retinanet)
    dense.network.backbone.body.maxpool = Applied(lambda maps: maps * torch.linalg.svdvals(maps).mean())
    with pytest.raises(ExportError, match=r"svd"):
        export_dense(dense, tmp_path / "detector.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_that_differs_is_not_left_behind(tmp_path):
    network = Applied(lambda images: images * (1.001 if torch.compiler.is_exporting() else 1))
    with pytest.raises(VerificationError, match=r"(?s)does not give what trial gives.*FAILED relative error of logits"):
        export_dense(segments(network), tmp_path / "dense.onnx")
    assert not list(tmp_path.iterdir())


def test_a_detector_that_differs_is_not_left_behind(tmp_path):
    dense = detector(faster_rcnn)
    dense.network.backbone.body.maxpool = Applied(
        lambda maps: nn.functional.max_pool2d(maps, 3, 2, 1) * (1.1 if torch.jit.is_tracing() else 1)
    )
    with pytest.raises(VerificationError, match=r"FAILED share of them that are the same"):
        export_dense(dense, tmp_path / "detector.onnx")
    assert not list(tmp_path.iterdir())


def test_other_weights_do_not_verify(exported):
    path, dense = exported
    assert verify_dense(path, dense).passed
    other = segments(stirred(fcn(encoder(), len(CLASSES), output_stride=32)))
    nn.init.ones_(other.network.classifier[4].weight)
    with pytest.raises(VerificationError, match="FAILED"):
        verify_dense(path, other)
    with pytest.raises(VerificationError, match="segmentation with 3 classes; the network is of segmentation with 1"):
        verify_dense(path, segments(dense.network, classes=("one",)))
