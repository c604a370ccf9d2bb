"""Started by torchrun: `sslhsic transfer`, where each process also notes which pictures it saw and what came of it."""

import hashlib
import json
import os
import sys
from pathlib import Path

from sslhsic_transfer.cli import main
from sslhsic_transfer.transfer.frameworks import plain


def noting_fit(task, network, examples, folder, *, progress) -> None:
    seen, read = [], type(examples).__getitem__
    type(examples).__getitem__ = lambda self, example: (seen.append(list(example)), read(self, example))[1]
    fit(task, network, examples, folder, progress=progress)
    weights = b"".join(parameter.detach().contiguous().numpy().tobytes() for parameter in network.parameters())
    note = {"seen": seen, "weights": hashlib.sha256(weights).hexdigest(), "processes": os.environ["WORLD_SIZE"]}
    Path(os.environ["NOTES"], f"rank-{os.environ['RANK']}.json").write_text(json.dumps(note))


if __name__ == "__main__":
    fit, plain.fit = plain.fit, noting_fit
    sys.argv[1:1] = ["transfer"]
    main()
