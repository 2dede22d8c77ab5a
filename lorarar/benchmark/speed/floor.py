"""Floor: the least work that merges two files: import torch, read both, join the factors, write the result.

    python floor.py A B OUT

It checks, hashes and scales nothing and imports nothing of lorarar. `lorarar merge` is measured against it.
"""

import sys

import torch
from safetensors.torch import load_file, save_file


def write_sum(paths: list[str]) -> None:
    """Write the sum of the first two files to the third."""
    first, second = (load_file(path) for path in paths[:2])
    merged = {}
    for key, tensor in first.items():
        if tensor.ndim < 2:
            merged[key] = tensor + second[key]
        else:
            side = 1 if key.endswith(("up.weight", "lora_B.weight")) else 0
            merged[key] = torch.cat([tensor, second[key]], side)
    save_file(merged, paths[2])


if __name__ == "__main__":
    write_sum(sys.argv[1:])
