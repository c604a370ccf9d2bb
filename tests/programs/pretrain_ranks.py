"""Started by torchrun: `sslhsic pretrain`, where each process also notes what it trained on and what came of it.

The process of rank STOPPED sends itself a SIGTERM after step STOPPED_AFTER (0). Steps take LONG (0) seconds more.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import torch

from sslhsic_transfer.cli import main
from sslhsic_transfer.pretrain import loop


def digest(tensors: list[torch.Tensor]) -> str:
    return hashlib.sha256(b"".join(tensor.detach().contiguous().numpy().tobytes() for tensor in tensors)).hexdigest()


class NotingTrainer(loop.Trainer):
    """After the last step it writes rank-R.json: losses, a digest of each picture of each step, and of the weights."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.steps = []

    def train_step(self, micro_batches, **kwargs):
        pictures = [
            digest([first.pixels[row], second.pixels[row]])
            for first, second in micro_batches
            for row in range(len(first.pixels))
        ]
        time.sleep(float(os.environ.get("LONG", "0")))
        if os.environ.get("STOPPED") == os.environ["RANK"] and self.step == int(os.environ.get("STOPPED_AFTER", "0")):
            signal.raise_signal(signal.SIGTERM)
        loss, scalars = super().train_step(micro_batches, **kwargs)
        self.steps.append({"loss": float(loss), "pictures": pictures})
        if self.step == self.total_steps:
            trained = self.learner.trained_parameters()
            targets = list(self.learner.target.parameters())
            note = {"steps": self.steps, "weights": digest([*trained.values(), *targets, *self.criterion.parameters()])}
            Path(os.environ["NOTES"], f"rank-{os.environ['RANK']}.json").write_text(json.dumps(note))
        return loss, scalars


if __name__ == "__main__":
    loop.Trainer = NotingTrainer
    sys.argv[1:1] = ["pretrain"]
    main()
