"""Classification of whole pictures: settings, network, examples, loss, prediction, evaluation, drawing."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset, default_collate
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as T
from tqdm import tqdm

from sslhsic_transfer.adapters.torchvision import Classifier
from sslhsic_transfer.data.labelled.classification import ClassificationData, find_classification
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.models.preprocessing import Preprocessing
from sslhsic_transfer.training.sampler import Example
from sslhsic_transfer.transfer.drawing import draw_scores
from sslhsic_transfer.transfer.settings import BatchSize, ColorJitter, TransferSettings
from sslhsic_transfer.transfer.tasks.augmentation import normalized, seeded
from sslhsic_transfer.transfer.tasks.task import Task

_BATCH = 64  # pictures classified at once


class ClassificationSettings(TransferSettings):
    """Settings for classification of whole pictures."""

    network: Literal["linear"] = Field(
        default="linear", description="Head on top of the encoder; linear: one linear layer."
    )
    label_share: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Share of each class's training pictures that is used, drawn by the seed; 1: all.",
    )
    label_list: str | None = Field(
        default=None,
        description="File with the names of the training pictures that are used, one per line; null: all pictures.",
    )
    size: int | None = Field(
        default=None,
        ge=32,
        description="Side of the crops in pixels; null: the crop size of the model's preprocessing.",
    )
    crop_area: tuple[float, float] = Field(
        default=(0.2, 1.0),
        description="Smallest and largest share of a picture's area that a random training crop covers.",
    )
    flip: float = Field(default=0.5, ge=0, le=1, description="Probability of a horizontal flip.")
    color_jitter: ColorJitter = 0.0
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the target probability that is spread evenly over all classes; 0: none.",
    )
    batch_size: BatchSize = 64

    @model_validator(mode="after")
    def _labels_are_chosen_once(self) -> "ClassificationSettings":
        if self.label_list is not None and self.label_share < 1:
            raise ValueError(f"label_share is {self.label_share} beside a label_list; expected one of the two")
        if not 0 < self.crop_area[0] <= self.crop_area[1] <= 1:
            raise ValueError(f"crop_area is {list(self.crop_area)}; expected [least, most] between 0 and 1")
        return self


class ClassificationTask(Task[ClassificationSettings, ClassificationData, "ClassificationPredictor"]):
    """Classification of whole pictures, by a linear layer on top of the encoder."""

    settings_class = ClassificationSettings
    recorded = ("top-1", "top-5", "mean per class")

    def __init__(self, settings: ClassificationSettings, preprocessing: Preprocessing, classes: Sequence[str]) -> None:
        super().__init__(settings, preprocessing, classes)
        if settings.size is not None:
            self.preprocessing = preprocessing.at_size(settings.size)

    @classmethod
    def find(cls, folder: str | Path, split: str, settings: ClassificationSettings) -> ClassificationData:
        """Find a split of a data set."""
        return find_classification(folder, split, settings.layout)

    @classmethod
    def find_training(cls, folder: str | Path, settings: ClassificationSettings) -> ClassificationData:
        """Find the training pictures whose labels are used."""
        training = cls.find(folder, settings.train, settings)
        if settings.label_list is not None:
            return training.listed(settings.label_list)
        return training.share(settings.label_share, settings.seed)

    @classmethod
    def for_pictures_of(cls, settings: ClassificationSettings, side: int) -> ClassificationSettings:
        """Return the settings with the size of the model's pictures, unless they say another."""
        return settings if settings.size is not None else settings.model_copy(update={"size": side})

    def network(self, encoder: Encoder) -> nn.Module:
        """Build a linear layer on top of a copy of the encoder."""
        s = self.settings
        return Classifier(encoder, len(self.classes), freeze_at=s.freeze_at, norm_eval=s.norm_eval)

    def examples(self, data: ClassificationData) -> "ClassificationExamples":
        """Return the training examples."""
        return ClassificationExamples(data, self.settings, self.preprocessing)

    def collate(self, examples: list[tuple[Tensor, int]]) -> list[Tensor]:
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

    def evaluate(
        self, predict: "ClassificationPredictor", data: ClassificationData, *, progress: bool = False
    ) -> dict[str, float]:
        """Compute accuracies; see `evaluate_classification`."""
        return evaluate_classification(predict.of, data, progress=progress)

    def panels(self, predict: "ClassificationPredictor", data: ClassificationData, index: int) -> list[Image.Image]:
        """Return the picture, and its most likely classes as text, the right one in green."""
        picture = data.read_picture(index)
        return [picture, draw_scores(predict(picture), data.classes, data.folder.labels[index])]

    def labels_used(self) -> str:
        """Describe the part of the training labels that is used."""
        if self.settings.label_list is not None:
            return f"labels of {Path(self.settings.label_list).name}"
        return f"{100 * self.settings.label_share:.3g} % of labels" if self.settings.label_share < 1 else ""


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
                normalized(preprocessing),
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


def evaluate_classification(
    predict: Callable[[Sequence[Path]], NDArray[np.float32]], data: ClassificationData, *, progress: bool = False
) -> dict[str, float]:
    """Compute accuracies over all pictures and for each class.

    Args:
        predict: files -> (N, C) scores.
        data: the split to measure on.
        progress: whether to show a progress bar.

    Returns:
        ``top-1``; ``top-5`` if there are more than five classes; ``mean per class``, the mean of the classes'
        accuracies; ``accuracy CLASS``; all as fractions.
    """
    labels = np.asarray(data.folder.labels)
    ranked = []
    with tqdm(total=len(data), desc="evaluate", unit="picture", disable=not progress) as bar:
        for start in range(0, len(data), _BATCH):
            paths = data.folder.paths[start : start + _BATCH]
            ranked.append(np.argsort(-predict(paths), axis=1, kind="stable")[:, :5])
            bar.update(len(paths))
    hits = np.concatenate(ranked) == labels[:, None]
    first = hits[:, 0]
    shares = {name: float(first[labels == number].mean()) for number, name in enumerate(data.classes)}
    return {
        "top-1": float(first.mean()),
        **({"top-5": float(hits.any(axis=1).mean())} if len(data.classes) > 5 else {}),
        "mean per class": float(np.mean(list(shares.values()))),
        **{f"accuracy {name}": share for name, share in shares.items()},
    }
