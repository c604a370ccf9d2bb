"""Plain PyTorch networks, torchvision's and the depth heads: trained by `fit`, saved as safetensors."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from sslhsic_transfer._files import atomic_path
from sslhsic_transfer._processes import is_main_process
from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.hub.config_file import WEIGHTS_NAME
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.hub.safetensors_file import read_safetensors_file
from sslhsic_transfer.hub.tensor_checks import check_fit, refuse_non_finite
from sslhsic_transfer.training.run_folder import RunFolder
from sslhsic_transfer.transfer.config import TRANSFER_CONFIG_NAME, TransferConfig
from sslhsic_transfer.transfer.frameworks.framework import Exportable, Framework
from sslhsic_transfer.transfer.loop import fit
from sslhsic_transfer.transfer.tasks.augmentation import seeded
from sslhsic_transfer.transfer.tasks.task import AnyTask, LabelledData, PredictFunction


class PlainNetworks(Framework[AnyTask, LabelledData, PredictFunction]):
    """The network that the task itself builds, trained with Hugging Face Accelerate."""

    distributed = True

    def train(self, task: AnyTask, encoder: Encoder, data: LabelledData, folder: RunFolder, *, progress: bool) -> None:
        """Fine-tune or resume, and save the network's weights to the run's model folder."""
        with seeded(mix_seed(task.settings.seed)):
            network = task.network(encoder)
        fit(task, network, task.examples(data), folder, progress=progress)
        if not is_main_process():
            return
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
        refuse_non_finite(state, "the fine-tuned network")
        folder.model.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder.model / WEIGHTS_NAME) as temporary:
            save_file(state, temporary, metadata={"format": "pt"})

    def load(
        self, task: AnyTask, config: TransferConfig, folder: Path, device: torch.device
    ) -> tuple[nn.Module, PredictFunction]:
        """Load the network of a model folder, in eval mode, and its prediction function."""
        network = task.network(Encoder(config.encoder, config.preprocessing))
        state = read_safetensors_file(folder / WEIGHTS_NAME).tensors
        check_fit(network, state, str(folder / WEIGHTS_NAME), called=f"its {TRANSFER_CONFIG_NAME}")
        network.load_state_dict(state)
        network = network.to(device).eval()
        predict: PredictFunction = task.predictor(network)
        return network, predict

    def exportable(self, task: AnyTask, config: TransferConfig, folder: Path) -> Exportable:
        """Load the network; its task knows the rest."""
        network, _ = self.load(task, config, folder, torch.device("cpu"))
        return Exportable(network, resize=task.input_side, first_label=task.first_label)
