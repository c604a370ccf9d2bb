"""A task: predict the mean brightness of a picture, a number between 0 and 1."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset, default_collate

from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.transfer.settings import TransferSettings
from sslhsic_transfer.transfer.tasks.task import Task


class BrightnessSettings(TransferSettings):
    network: str = "linear"


@dataclass(frozen=True)
class Pictures(Dataset):
    name: str
    paths: tuple[Path, ...]
    preprocessing: object = None
    classes: ClassVar[tuple[str, ...]] = ()

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, example):
        picture = load_image(self.paths[example[0]])
        return self.preprocessing.transform()(picture), torch.tensor([np.asarray(picture).mean() / 255]).float()


class Network(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.feature_dim, 1)

    def forward(self, images):
        return self.head(self.encoder(images))


class BrightnessTask(Task):
    settings_class = BrightnessSettings
    recorded = ("error",)

    @classmethod
    def find(cls, folder, split, settings):
        return Pictures(Path(folder).name, tuple(sorted((Path(folder) / split).rglob("*.*"))))

    def network(self, encoder):
        return Network(encoder)

    def examples(self, data):
        return Pictures(data.name, data.paths, self.preprocessing)

    def collate(self, examples):
        return default_collate(examples)

    def loss(self, network, batch):
        return F.mse_loss(network(batch[0]), batch[1])

    def predictor(self, network):
        @torch.inference_mode()
        def predict(picture):
            return network.eval()(self.preprocessing.transform()(picture)[None])[0].numpy()

        return predict

    def evaluate(self, predict, data, *, progress=False):
        errors = [predict(load_image(path))[0] - np.asarray(load_image(path)).mean() / 255 for path in data.paths]
        return {"error": float(np.abs(errors).mean()), "worst": float(np.abs(errors).max())}

    def panels(self, predict, data, index):
        return [load_image(data.paths[index])]
