"""Detection on torchvision's networks: examples, loss, and the trained network as a function of a picture."""

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
from sslhsic_transfer.transfer.examples import Example, seeded
from sslhsic_transfer.transfer.settings import DetectionSettings

_NETWORKS = {"faster_rcnn": faster_rcnn, "retinanet": retinanet}
Batch = tuple[list[Tensor], list[dict[str, Tensor]]]


class DetectionTask:
    """How a detector is built, fed and trained.

    Args:
        settings: of the fine-tune.
        preprocessing: of the encoder; the detectors normalise by it themselves.
        classes: names, without a background.
    """

    def __init__(self, settings: DetectionSettings, preprocessing: Preprocessing, classes: Sequence[str]) -> None:
        self.settings = settings
        self.preprocessing = preprocessing
        self.classes = tuple(classes)

    def network(self, encoder: Encoder) -> nn.Module:
        """Torchvision's detector over a copy of the encoder.

        Raises:
            ConfigError: a network that torchvision does not have.
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
        """What is trained on."""
        return DetectionExamples(data)

    @staticmethod
    def collate(examples: list[tuple[Tensor, dict[str, Tensor]]]) -> Batch:
        """A batch: pictures and targets of their own sizes."""
        images, targets = zip(*examples, strict=True)
        return list(images), list(targets)

    @staticmethod
    def loss(network: nn.Module, batch: Batch) -> Tensor:
        """The sum of the detector's own losses."""
        images, targets = batch
        losses: dict[str, Tensor] = network(images, targets)
        return torch.stack([loss.float() for loss in losses.values()]).sum()

    def predictor(self, network: nn.Module) -> "DetectionPredictor":
        """The trained network."""
        side = self.settings.test_side or max(self.settings.sides)
        return DetectionPredictor(network, side)


class DetectionExamples(Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """Pictures and boxes, flipped at random by the example's seed; objects to be ignored are left out."""

    def __init__(self, data: DetectionData) -> None:
        self.data = data
        self.transform = v2.Compose([v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True)])

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, example: Example) -> tuple[Tensor, dict[str, Tensor]]:
        """(3, H, W) picture on [0, 1]; its (N, 4) boxes and (N,) labels, from 1 on."""
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
        network: torchvision's.
        side: short side that the network sees.
    """

    def __init__(self, network: Any, side: int) -> None:
        self.network = network.eval()
        self.network.transform.min_size = (side,)

    @torch.inference_mode()
    def __call__(self, picture: Image.Image) -> Boxes:
        """One picture of any size."""
        device = next(self.network.parameters()).device
        image = T.to_dtype(T.pil_to_tensor(to_rgb(picture)), torch.float32, scale=True).to(device)
        (found,) = self.network([image])
        boxes, scores, labels = (found[name].cpu() for name in ("boxes", "scores", "labels"))
        return Boxes(boxes.float().numpy(), scores.float().numpy(), labels.numpy() - 1)
