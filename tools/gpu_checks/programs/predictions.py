"""NOTE MODEL DEVICE OUTPUT PICTURES…: load a fine-tuned model and save what it sees, in float32 without TF32."""

import dataclasses
import sys

import numpy as np
import torch
from peak import note_peak

from sslhsic_transfer.transfer import load_transferred


def main() -> None:
    note, folder, device, output, *pictures = sys.argv[1:]
    note_peak(note)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = load_transferred(folder, device)
    arrays = {}
    for number, picture in enumerate(pictures):
        found = model.predict(picture)
        parts = dataclasses.asdict(found) if dataclasses.is_dataclass(found) else {"values": found}
        arrays |= {f"{number}.{name}": np.asarray(values) for name, values in parts.items()}
    np.savez(output, **arrays)


if __name__ == "__main__":
    main()
