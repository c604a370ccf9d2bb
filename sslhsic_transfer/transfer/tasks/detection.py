"""Detection with torchvision's networks: examples, loss, and prediction with the trained network."""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as T

from sslhsic_transfer.adapters.torchvision import faster_rcnn, retinanet
from sslhsic_transfer.data.images import load_image, to_rgb
from sslhsic_transfer.data.labelled.detection import Boxes, DetectionData
from sslhsic_transfer.errors import ConfigError, DataError
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.models.preprocessing import Preprocessing
from sslhsic_transfer.transfer.settings import DetectionSettings
from sslhsic_transfer.transfer.tasks.augmentation import Example, seeded

_NETWORKS = {"faster_rcnn": faster_rcnn, "retinanet": retinanet}
Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


class DetectionTask:
    """Construction, data and loss of a detector.

    Args:
        settings: the settings of the fine-tuning.
        preprocessing: the encoder's preprocessing; the detectors themselves normalize with it.
        classes: the names of the classes, without a background.
    """

    def __init__(self, settings: DetectionSettings, preprocessing: Preprocessing, classes: Sequence[str]) -> None:
        self.settings = settings
        self.preprocessing = preprocessing
        self.classes = tuple(classes)

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

    @staticmethod
    def collate(examples: list[tuple[Tensor, dict[str, Tensor]]]) -> Batch:
        """Return a batch: pictures and targets, each of its own size."""
        images, targets = zip(*examples, strict=True)
        return list(images), list(targets)

    @staticmethod
    def loss(network: nn.Module, batch: Batch) -> Tensor:
        """Return the sum of the detector's own losses."""
        images, targets = batch
        losses: dict[str, Tensor] = network(images, targets)
        return torch.stack([loss.float() for loss in losses.values()]).sum()

    def predictor(self, network: nn.Module) -> "DetectionPredictor":
        """Return the prediction function of a trained network."""
        side = self.settings.test_side or max(self.settings.sides)
        return DetectionPredictor(network, side)


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
