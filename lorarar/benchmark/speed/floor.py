"""The least that merging two files takes: import torch, read both, put the factors side by side, write the result.

    python floor.py A B OUT

Nothing is checked, hashed or scaled, and nothing of lorarar is imported: what `lorarar merge` is measured against.
"""

import sys

import torch
from safetensors.torch import load_file, save_file


def main() -> None:
    """The command of the module's first lines."""
    first, second = (load_file(path) for path in sys.argv[1:3])
    merged = {}
    for key, tensor in first.items():
        if tensor.ndim < 2:
            merged[key] = tensor + second[key]
        else:
            side = 1 if key.endswith(("up.weight", "lora_B.weight")) else 0
            merged[key] = torch.cat([tensor, second[key]], side)
    save_file(merged, sys.argv[3])


if __name__ == "__main__":
    main()
