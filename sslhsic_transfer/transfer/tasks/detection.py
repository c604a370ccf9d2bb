"""Detection of objects as boxes: settings, networks, examples, loss, prediction, evaluation, drawing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as T

from sslhsic_transfer.adapters.torchvision import faster_rcnn, retinanet
from sslhsic_transfer.data.images import load_image, to_rgb
from sslhsic_transfer.data.labelled.detection import Boxes, DetectionData, find_detection
from sslhsic_transfer.errors import ConfigError, DataError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.metrics.average_precision import average_precision
from sslhsic_transfer.training.sampler import Example
from sslhsic_transfer.transfer.drawing import draw_boxes
from sslhsic_transfer.transfer.settings import BatchSize, ClipGradient, LearningRate, TransferSettings
from sslhsic_transfer.transfer.tasks.augmentation import seeded
from sslhsic_transfer.transfer.tasks.task import Task, picture_indices

_NETWORKS = {"faster_rcnn": faster_rcnn, "retinanet": retinanet}
Batch = tuple[list[Tensor], list[dict[str, Tensor]]]
DetectionFunction = Callable[[Image.Image], Boxes]


class DetectionSettings(TransferSettings):
    """Settings for detection of objects as boxes."""

    network: Literal["faster_rcnn", "retinanet", "faster_rcnn_c4"] = Field(
        default="faster_rcnn",
        description="Detector on top of the encoder. faster_rcnn and retinanet have a feature pyramid; faster_rcnn_c4 "
        "has none and needs Detectron2.",
    )
    sides: tuple[int, ...] = Field(
        default=(320,),
        min_length=1,
        description="Lengths in pixels for the short side of training pictures; each picture gets one of them at "
        "random.",
    )
    test_side: int | None = Field(
        default=None,
        ge=32,
        description="Length in pixels of the short side of test pictures; null: the largest of `sides`.",
    )
    longest_side: int = Field(
        default=640, ge=32, description="Upper limit of a resized picture's long side, in pixels."
    )
    proposals: int = Field(
        default=1000,
        ge=1,
        description="Number of proposed regions per picture that Faster R-CNN classifies at test time.",
    )
    sampled_regions: int = Field(
        default=512, ge=1, description="Number of regions per picture that train Faster R-CNN's head in each step."
    )
    batch_size: BatchSize = 4
    learning_rate: LearningRate = 2e-4
    clip_gradient: ClipGradient = 10.0


class DetectionTask(Task[DetectionSettings, DetectionData, DetectionFunction]):
    """Detection of objects as boxes. The plain networks are torchvision's, which normalize pictures themselves."""

    settings_class = DetectionSettings
    recorded = ("AP", "AP50", "AP75")
    first_label = 1  # 0 is torchvision's background

    @classmethod
    def find(cls, folder: str | Path, split: str, settings: DetectionSettings) -> DetectionData:
        """Find a split of a data set, and check that it has objects."""
        data = find_detection(folder, split, settings.layout)
        data.require_objects()
        return data

    def network(self, encoder: Encoder) -> nn.Module:
        """Build torchvision's detector on top of a copy of the encoder.

        Raises:
            ConfigError: torchvision does not have the network.
        """
        s = self.settings
        if s.network not in _NETWORKS:
            raise ConfigError(f"torchvision has no {s.network}; expected network={' or '.join(_NETWORKS)}.")
        options: dict[str, int] = {}
        if s.network == "faster_rcnn":
            options = {"rpn_post_nms_top_n_test": s.proposals, "box_batch_size_per_image": s.sampled_regions}
        return _NETWORKS[s.network](
            encoder,
            len(self.classes) + 1,
            **options,
            freeze_at=s.freeze_at,
            norm_eval=s.norm_eval,
            min_size=s.sides,
            max_size=s.longest_side,
        )

    def examples(self, data: DetectionData) -> "DetectionExamples":
        """Return the training examples."""
        return DetectionExamples(data)

    def collate(self, examples: list[tuple[Tensor, dict[str, Tensor]]]) -> Batch:
        """Return a batch: pictures and targets, each of its own size."""
        images, targets = zip(*examples, strict=True)
        return list(images), list(targets)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the sum of the detector's own losses."""
        images, targets = batch
        losses: dict[str, Tensor] = network(images, targets)
        return torch.stack([loss.float() for loss in losses.values()]).sum()

    def predictor(self, network: nn.Module) -> "DetectionPredictor":
        """Return the prediction function of a trained network."""
        side = self.settings.test_side or max(self.settings.sides)
        return DetectionPredictor(network, side)

    def evaluate(self, predict: DetectionFunction, data: DetectionData, *, progress: bool = False) -> dict[str, float]:
        """Compute COCO's average precision; see `evaluate_detection`."""
        return evaluate_detection(predict, data, progress=progress)

    def panels(self, predict: DetectionFunction, data: DetectionData, index: int) -> list[Image.Image]:
        """Return the picture with its boxes, and with the predicted boxes."""
        entry = data.pictures[index]
        picture = load_image(entry.path)
        return [
            draw_boxes(picture, entry.truth, data.classes, scores=False),
            draw_boxes(picture, predict(picture), data.classes),
        ]


class DetectionExamples(Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """Pictures and boxes, flipped at random by the example's seed; ignored objects are left out."""

    def __init__(self, data: DetectionData) -> None:
        self.data = data
        self.transform = v2.Compose([v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)])

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, example: Example) -> tuple[Tensor, dict[str, Tensor]]:
        """Return a (3, H, W) picture on [0, 1], and its (N, 4) boxes and (N,) labels, counted from 1."""
        index, seed = example
        entry = self.data.pictures[index]
        image = tv_tensors.Image(T.pil_to_tensor(load_image(entry.path)))
        width, height = entry.size
        if tuple(image.shape[-2:]) != (height, width):
            raise DataError(
                f"{entry.path} has {image.shape[-1]} × {image.shape[-2]} pixels; its annotation says "
                f"{width} × {height}."
            )
        kept = ~entry.ignored
        boxes = tv_tensors.BoundingBoxes(
            torch.from_numpy(entry.boxes[kept]), format="XYXY", canvas_size=(height, width)
        )
        with seeded(seed):
            image, boxes = self.transform(image, boxes)
        labels = torch.from_numpy(entry.labels[kept]) + 1
        return image.as_subclass(Tensor), {"boxes": boxes.as_subclass(Tensor), "labels": labels}


class DetectionPredictor:
    """A trained detector as a function: picture -> `Boxes`.

    Args:
        network: a torchvision detector.
        side: length of the short side in the network's input.
    """

    def __init__(self, network: Any, side: int) -> None:
        self.network = network.eval()
        self.network.transform.min_size = (side,)

    @torch.inference_mode()
    def __call__(self, picture: Image.Image) -> Boxes:
        """Detect objects in one picture of any size."""
        device = next(self.network.parameters()).device
        image = T.to_dtype(T.pil_to_tensor(to_rgb(picture)), torch.float32, scale=True).to(device)
        (found,) = self.network([image])
        boxes, scores, labels = (found[name].cpu() for name in ("boxes", "scores", "labels"))
        return Boxes(boxes.float().numpy(), scores.float().numpy(), labels.numpy() - 1)


def evaluate_detection(predict: DetectionFunction, data: DetectionData, *, progress: bool = False) -> dict[str, float]:
    """Compute COCO's average precision with `average_precision`.

    Args:
        predict: picture -> `Boxes`.
        data: the split to measure on.
        progress: whether to show a progress bar.
    """
    found = [predict(load_image(data.pictures[index].path)) for index in picture_indices(data, progress=progress)]
    return average_precision(data.as_coco(), found)
