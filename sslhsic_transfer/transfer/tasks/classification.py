"""Classification: examples, loss, and prediction with the trained network."""

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
from sslhsic_transfer.transfer.settings import ClassificationSettings
from sslhsic_transfer.transfer.tasks.augmentation import Example, normalised, seeded


class ClassificationTask:
    """Construction, data and loss of a classifier.

    Args:
        settings: the settings of the fine-tuning.
        preprocessing: the encoder's preprocessing.
        classes: the names of the classes.
    """

    def __init__(self, settings: ClassificationSettings, preprocessing: Preprocessing, classes: Sequence[str]) -> None:
        self.settings = settings
        self.preprocessing = preprocessing if settings.size is None else preprocessing.at_size(settings.size)
        self.classes = tuple(classes)

    def network(self, encoder: Encoder) -> nn.Module:
        """Build a linear layer on top of a copy of the encoder."""
        s = self.settings
        return Classifier(encoder, len(self.classes), freeze_at=s.freeze_at, norm_eval=s.norm_eval)

    def examples(self, data: ClassificationData) -> "ClassificationExamples":
        """Return the training examples."""
        return ClassificationExamples(data, self.settings, self.preprocessing)

    @staticmethod
    def collate(examples: list[tuple[Tensor, int]]) -> list[Tensor]:
        """Return a batch: (B, 3, H, W) pictures and (B,) classes."""
        batch: list[Tensor] = default_collate(examples)
        return batch

    def loss(self, network: nn.Module, batch: list[Tensor]) -> Tensor:
        """Return the mean cross-entropy."""
        images, labels = batch
        return F.cross_entropy(network(images).float(), labels, label_smoothing=self.settings.label_smoothing)

    def predictor(self, network: nn.Module) -> "ClassificationPredictor":
        """Return the prediction function of a trained network."""
        return ClassificationPredictor(network, self.preprocessing)


class ClassificationExamples(Dataset[tuple[Tensor, int]]):
    """Pictures with random crop, flip and color jitter by the example's seed, and their classes."""

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
        """Return a (3, H, W) picture and the number of its class."""
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
        """Classify one picture of any size."""
        return self.of([picture])[0]

    @torch.inference_mode()
    def of(self, pictures: Sequence[Image.Image | Path]) -> NDArray[np.float32]:
        """Classify several pictures: (N, C). Files are read in parallel."""
        with ThreadPoolExecutor() as pool:
            images = torch.stack(list(pool.map(self._transform, pictures)))
        logits = self.network(images.to(next(self.network.parameters()).device))
        return np.asarray(logits.float().softmax(dim=1).cpu(), dtype=np.float32)
