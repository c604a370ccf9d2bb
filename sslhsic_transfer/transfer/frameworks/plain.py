"""Plain PyTorch networks, torchvision's and the depth heads: trained by `loop`, saved as safetensors."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from sslhsic_transfer._files import atomic_path
from sslhsic_transfer._processes import is_main_process
from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.hub.safetensors_file import read_safetensors_file
from sslhsic_transfer.hub.state import check_fit, refuse_non_finite
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.training.run_folder import RunFolder
from sslhsic_transfer.transfer.config import CONFIG_NAME, TransferConfig
from sslhsic_transfer.transfer.loop import fit
from sslhsic_transfer.transfer.tasks import TASKS
from sslhsic_transfer.transfer.tasks.augmentation import seeded

WEIGHTS_NAME = "model.safetensors"


def train(config: TransferConfig, encoder: Encoder, data: Any, folder: RunFolder, *, progress: bool) -> None:
    """Fine-tune or resume, and save the network's weights to the run's model folder."""
    task = _task(config)
    with seeded(mix_seed(config.typed_settings().seed)):
        network = task.network(encoder)
    fit(task, network, task.examples(data), folder, progress=progress)
    if not is_main_process():
        return
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    refuse_non_finite(state, "the fine-tuned network")
    folder.model.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder.model / WEIGHTS_NAME) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})


def load(config: TransferConfig, folder: Path, device: torch.device) -> tuple[nn.Module, Any]:
    """Load the network of a model folder, in eval mode, and its prediction function.

    Raises:
        ModelNotFoundError: there are no weights.
        WeightsError: the weights are damaged, or belong to another network.
    """
    task = _task(config)
    network = task.network(Encoder(config.encoder, config.preprocessing))
    state = read_safetensors_file(folder / WEIGHTS_NAME).tensors
    check_fit(network, state, str(folder / WEIGHTS_NAME), called=f"its {CONFIG_NAME}")
    network.load_state_dict(state)
    network = network.to(device).eval()
    return network, task.predictor(network)


def _task(config: TransferConfig) -> Any:
    return TASKS[config.task].native(config.typed_settings(), config.preprocessing, config.classes)
