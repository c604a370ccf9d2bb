"""The pages agree with the code on what there is: names, defaults, bounds, extras."""

import re
import tomllib
from typing import Any

import pytest
import torch

from benchmarks.loss import FORMS
from sslhsic_transfer import create_encoder
from sslhsic_transfer.adapters.mmseg import CONFIGS
from sslhsic_transfer.adapters.onnx.dense import detections, detector_graph
from sslhsic_transfer.adapters.onnx.runtime.operators import OPSETS
from sslhsic_transfer.adapters.onnx.verification import BOUNDS
from sslhsic_transfer.data.labelled.depth import find_depth
from sslhsic_transfer.data.labelled.detection import find_detection
from sslhsic_transfer.data.labelled.segmentation import find_segmentation
from sslhsic_transfer.data.picture_formats import _MOST_PIXELS
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.evaluate import knn_accuracy, linear_probe
from sslhsic_transfer.evaluate.features import pixel_features, scan_splits
from sslhsic_transfer.hsic import KERNELS, SSLHSICLoss, pairs, sums
from sslhsic_transfer.hub.config_file import LARGEST_CONFIG
from sslhsic_transfer.hub.fingerprint import FEATURES_KEPT
from sslhsic_transfer.pretrain.networks import Learner
from sslhsic_transfer.pretrain.objectives import OBJECTIVES
from sslhsic_transfer.pretrain.recipe_file import load_recipe
from sslhsic_transfer.sample import sign_digits
from sslhsic_transfer.transfer.settings import TransferSettings
from sslhsic_transfer.transfer.tasks import TASKS
from tests.docs.pages import read, says, table


def project() -> Any:
    return tomllib.loads(read("pyproject.toml"))["project"]


def required(extra: str) -> set[str]:
    return {re.split(r"[\[<>=]", line)[0] for line in project()["optional-dependencies"][extra]}


def code_in(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_demo():
    """Its size, and the floor that needs no network, as the page's table has them."""
    rows = table("docs/getting-started.md", "| test accuracy, 409 pictures")
    recipe, sample = load_recipe("demo"), sign_digits()
    train, test = scan_splits(sample.train, sample.test)
    assert f"pretrained, {recipe.epochs} epochs" in rows
    assert len(test.paths) == 409
    bank, queries = pixel_features(train), pixel_features(test)
    near = knn_accuracy(bank.values, bank.labels, queries.values, queries.labels)
    probe = linear_probe(bank.values, bank.labels, queries.values, queries.labels)
    assert rows["raw pixels, 16 × 16"] == [f"{100 * near:.1f}", f"{100 * probe.accuracy:.1f}"]


def test_what_each_extra_brings():
    says(
        "docs/getting-started.md",
        "| `pretrain` | Accelerate, TensorBoard and Matplotlib",
        "| `data` | Hugging Face `datasets` |",
        "| `eval` | scikit-learn and Matplotlib |",
    )
    assert required("pretrain") == {"accelerate", "tensorboard", "matplotlib"}
    assert required("data") == {"datasets"}
    assert required("eval") == {"scikit-learn", "matplotlib"}
    assert {"accelerate", "pycocotools", "h5py"} <= required("transfer")
    assert {"onnx", "onnxruntime"} <= required("onnx")
    assert project()["requires-python"] == ">=3.11"
    says("README.md", "Python ≥ 3.11")


def test_the_package_index_is_not_promised():
    """Until it is published, commands install from a checkout where they are shown first."""
    for page in ("README.md", "docs/index.md", "docs/getting-started.md"):
        says(page, "the package is not on PyPI yet")


def test_figures_that_the_loss_returns():
    (listed,) = re.findall(r"returns the loss and the figures (.*?)\.", " ".join(read("docs/objective.md").split()))
    _, scalars = SSLHSICLoss()([torch.randn(8, 4) for _ in range(2)])
    assert set(code_in(listed)) == set(scalars)


def test_kernels_and_objectives_have_their_rows():
    assert set(table("docs/objective.md", "| name | k(x, y)")) >= {f"`{name}`" for name in KERNELS if name != "imq"}
    assert "`imq` (the paper's)" in table("docs/objective.md", "| name | k(x, y)")
    assert set(table("docs/objective.md", "| objective | lightly")) == {f"`{name}`" for name in OBJECTIVES}


def test_blocks_of_rows():
    says(
        "docs/objective.md",
        f"blocks of {sums._ROWS_ON_CPU:,} rows ({sums._ROWS_ELSEWHERE:,} on a GPU)",
        f"{pairs._ROWS_ON_CPU} × {pairs._ROWS_ON_CPU} rows ({pairs._ROWS_ELSEWHERE:,} on a GPU)",
    )


@pytest.mark.parametrize("dim", [256, 2048])
def test_from_4096_on_auto_is_the_features(dim):
    assert len(FORMS) == 3
    views = [torch.empty(4096, dim, requires_grad=True)] * 2
    assert not SSLHSICLoss().is_exact(views)


def test_layouts_of_labelled_data(tmp_path):
    """The table lists what an unknown layout is answered with."""
    rows = table("docs/dense.md", "| task | layouts")
    for task, find in (("segmentation", find_segmentation), ("detection", find_detection), ("depth", find_depth)):
        with pytest.raises(DataError) as caught:
            find(tmp_path, "train", layout="nothing")
        known = str(caught.value).split("one of ")[1].rstrip(".").split(", ")
        assert {name for name in code_in(rows[task][0]) if "." not in name} == set(known)


def test_bounds_of_exported_files():
    rows = table("docs/onnx.md", "| | fp32 | fp16")
    (largest,) = [cells for name, cells in rows.items() if name.startswith("largest difference")]
    (smallest,) = [cells for name, cells in rows.items() if name.startswith("smallest cosine")]
    (average,) = [cells for name, cells in rows.items() if name.startswith("mean cosine")]
    (near,) = [cells for name, cells in rows.items() if "20-NN" in name]
    for column, precision in enumerate(("fp32", "fp16", "int8")):
        bounds = BOUNDS[precision]
        assert largest[column] == ("reported" if bounds.relative is None else "≤ 1e-4")
        assert bounds.relative in (None, 1e-4)
        assert smallest[column] == ("reported" if bounds.smallest_cosine is None else f"≥ {bounds.smallest_cosine}")
        assert average[column] == f"≥ {bounds.cosine}"
        assert near[column] == f"≥ {100 * bounds.agreement:.0f} %"


def test_opsets_and_what_detections_are_held_to():
    says("docs/onnx.md", f"{OPSETS[0]} to {OPSETS[-1]}; 20 by default")
    says(
        "docs/dense.md",
        f"Opset {OPSETS[0]} to {OPSETS[-1]}, for detectors to {detector_graph.OPSETS[-1]}",
        f"label, score ({detections._SCORE}) and corners (a thousandth of the long side), of which"
        f" {100 * detections.TWINS:.0f} % must agree",
    )
    assert detections._CORNER == 1e-3


def test_bounds_of_what_is_read():
    says("docs/data.md", f"A picture of more than {_MOST_PIXELS / 1e6:.0f} million pixels cannot be read")
    says("docs/hub.md", f"`config.json`: at most {LARGEST_CONFIG >> 20} MiB", f"the first {FEATURES_KEPT} features")


def test_defaults_that_pages_tell():
    """Precision of fine-tunes, splits that are measured, share of damaged pictures, what is frozen."""
    says("docs/gpu.md", "Fine-tunes compute in float32 unless told otherwise")
    assert TransferSettings().precision == "fp32"
    assert TransferSettings().test == "val", "It tests on `val` until you say `test=test`."
    assert TransferSettings().freeze_at == 0
    says("docs/data.md", "beyond `max_damaged` (1 % of all) the run stops")
    recipe = load_recipe("imagenet-r50")
    assert (recipe.max_damaged, recipe.precision, recipe.cuda_graphs) == (0.01, "auto", "auto")
    recipe = load_recipe("imagenette-r18")
    assert (recipe.loss.gamma, recipe.loss.estimator, recipe.loss.low_noise) == (3, "auto", True)
    assert set(TASKS) == {"classification", "segmentation", "detection", "depth"}


def test_configurations_of_mmseg_say_how_they_are_run():
    files = sorted(CONFIGS.glob("*.py"))
    assert len(files) == 12
    for file in files:
        head = file.read_text(encoding="utf-8").split('"""')[1]
        assert f"--nproc_per_node=8 $TOOLS/train.py $CONFIGS/{file.name}" in head, file.name


def test_a_resnet_152_fits_on_a_gpu_whole():
    """Weights, target network, average and the momentum of LARS: about 1 GiB."""
    with torch.device("meta"):
        learner = Learner(create_encoder("resnet152"), hidden_dim=4096, embedding_dim=256, uses_target=True)
    trained = sum(parameter.numel() for parameter in learner.parameters() if parameter.requires_grad)
    target = sum(parameter.numel() for parameter in learner.parameters() if not parameter.requires_grad)
    kept = 4 * (trained + target + trained + trained)  # float32: weights, target, average, momentum
    assert 0.9 < kept / 2**30 < 1.4
    says("docs/distributed.md", "takes about 1 GiB of weights and states")
