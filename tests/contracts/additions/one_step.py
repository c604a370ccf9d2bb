"""A framework: it takes one step by plain torch and keeps the weights in a file of its own."""

import torch
from torch.utils.data import default_collate

from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.transfer.frameworks.framework import Exportable, Framework


class OneStep(Framework):
    def train(self, task, encoder, data, folder, *, progress):
        network, examples = task.network(encoder), task.examples(data)
        batch = default_collate([examples[index, 0] for index in range(4)])
        task.loss(network, batch).backward()
        torch.optim.SGD(network.parameters(), lr=1e-3).step()
        folder.model.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), folder.model / "weights.pt")

    def load(self, task, config, folder, device):
        network = task.network(Encoder(config.encoder, config.preprocessing))
        network.load_state_dict(torch.load(folder / "weights.pt"))
        return network.to(device).eval(), task.predictor(network)

    def exportable(self, task, config, folder):
        return Exportable(self.load(task, config, folder, torch.device("cpu"))[0])
