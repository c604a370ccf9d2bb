"""Classification: examples, loss, and the trained network as a function of a picture."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset, default_collate
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as T

from sslhsic_transfer.adapters.torchvision import Classifier
from sslhsic_transfer.data.labelled.classification import ClassificationData
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.models.preprocessing import Preprocessing
from sslhsic_transfer.transfer.examples import Example, normalised, seeded
from sslhsic_transfer.transfer.settings import ClassificationSettings


class ClassificationTask:
    """How a classifier is built, fed and trained.

    Args:
        settings: of the fine-tune.
        preprocessing: of the encoder.
        classes: names.
    """

    def __init__(self, settings: ClassificationSettings, preprocessing: Preprocessing, classes: Sequence[str]) -> None:
        self.settings = settings
        self.preprocessing = preprocessing if settings.size is None else preprocessing.at_size(settings.size)
        self.classes = tuple(classes)

    def network(self, encoder: Encoder) -> nn.Module:
        """A linear layer over a copy of the encoder."""
        s = self.settings
        return Classifier(encoder, len(self.classes), freeze_at=s.freeze_at, norm_eval=s.norm_eval)

    def examples(self, data: ClassificationData) -> "ClassificationExamples":
        """What is trained on."""
        return ClassificationExamples(data, self.settings, self.preprocessing)

    @staticmethod
    def collate(examples: list[tuple[Tensor, int]]) -> list[Tensor]:
        """A batch: (B, 3, H, W) pictures and (B,) classes."""
        batch: list[Tensor] = default_collate(examples)
        return batch

    def loss(self, network: nn.Module, batch: list[Tensor]) -> Tensor:
        """Mean cross-entropy."""
        images, labels = batch
        return F.cross_entropy(network(images).float(), labels, label_smoothing=self.settings.label_smoothing)

    def predictor(self, network: nn.Module) -> "ClassificationPredictor":
        """The trained network."""
        return ClassificationPredictor(network, self.preprocessing)


class ClassificationExamples(Dataset[tuple[Tensor, int]]):
    """Pictures, cropped, flipped and coloured at random by the example's seed, and their classes."""

    def __init__(
        self, data: ClassificationData, settings: ClassificationSettings, preprocessing: Preprocessing
    ) -> None:
        self.data = data
        jitter = settings.color_jitter
        self.transform = v2.Compose(
            [
                v2.RandomResizedCrop(
                    preprocessing.crop,
                    scale=settings.crop_area,
                    interpolation=InterpolationMode(preprocessing.interpolation),
                    antialias=preprocessing.antialias,
                ),
                v2.RandomHorizontalFlip(settings.flip),
                v2.ColorJitter(jitter, jitter, jitter),
                normalised(preprocessing),
            ]
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, example: Example) -> tuple[Tensor, int]:
        """(3, H, W) picture and the number of its class."""
        index, seed = example
        with seeded(seed):
            picture = self.transform(tv_tensors.Image(T.pil_to_tensor(self.data.read_picture(index))))
        return picture.as_subclass(Tensor), self.data.folder.labels[index]


class ClassificationPredictor:
    """A trained `Classifier` as a function: picture -> (C,) float32 probabilities, in the order of the classes."""

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        self.network = network.eval()
        self._transform = preprocessing.transform()

    def __call__(self, picture: Image.Image) -> NDArray[np.float32]:
        """One picture of any size."""
        return self.of([picture])[0]

    @torch.inference_mode()
    def of(self, pictures: Sequence[Image.Image | Path]) -> NDArray[np.float32]:
        """Several at once: (N, C); files are read side by side."""
        with ThreadPoolExecutor() as pool:
            images = torch.stack(list(pool.map(self._transform, pictures)))
        logits = self.network(images.to(next(self.network.parameters()).device))
        return np.asarray(logits.float().softmax(dim=1).cpu(), dtype=np.float32)
