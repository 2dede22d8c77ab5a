"""Mutants: random damage to small LoRA files."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tests.formats.small_files import NAMES, TYPES, File

_SUFFIXES = (
    ".lora_down.weight",
    ".lora_up.weight",
    ".lora_mid.weight",
    ".lora_A.weight",
    ".lora_B.bias",
    ".alpha",
    ".dora_scale",
    ".hada_w1_a",
    ".lokr_w1",
    ".lokr_t2",
    ".diff",
    ".diff_b",
    ".w_norm",
    ".oft_blocks",
    ".a1.weight",
    ".on_input",
    ".scalar",
    ".weight",
)
_SHAPES = (
    (),
    (0,),
    (1,),
    (3,),
    (0, 4),
    (4, 0),
    (1, 1),
    (2, 7),
    (7, 2),
    (4, 4, 1),
    (2, 2, 3, 3),
    (1, 2, 3, 4, 5),
    (64, 64),
)


def mutant(files: list[File], rng: random.Random) -> bytes:
    """Return a file with one to three random faults. A fault can leave the file intact."""
    file = rng.choice(files)
    for _ in range(rng.randint(0, 2)):
        file = rng.choice((_rename, _reshape, _refill, _retype, _drop, _mix, _annotate))(file, files, rng)
    spoiled = rng.choice((_whole, _whole, _header, _header, _bytes))
    return spoiled(file, rng)


def _rename(file: File, _: list[File], rng: random.Random) -> File:
    """Change suffixes, swap keys, and drop, double or replace letters."""
    if not file.tensors:
        return file
    tensors = list(file.tensors)
    index, other = rng.randrange(len(tensors)), rng.randrange(len(tensors))
    key, tensor = tensors[index]
    position = rng.randrange(len(key) + 1)
    if rng.random() < 0.2:  # up in place of down
        tensors[index], tensors[other] = (key, tensors[other][1]), (tensors[other][0], tensor)
        return replace(file, tensors=tensors)
    name = rng.choice(
        (
            key + rng.choice(_SUFFIXES),
            key.rpartition(".")[0] + rng.choice(_SUFFIXES),
            key[:position]
            + rng.choice(("\u00e9\u4e2d", "\U0001f600", "..", "_", "\\", '"', " ", "0", "9999"))
            + key[position:],
            key[:position] + key[position + 1 :],
            key.replace("0", str(rng.randrange(40))),
            rng.choice(("", "unet.", "lora_unet_", "base_model.model.", "text_encoder.", "transformer.")) + key,
        )
    )
    tensors[index] = (name, tensor)
    return _without_doubles(replace(file, tensors=tensors))


def _reshape(file: File, _: list[File], rng: random.Random) -> File:
    shape = rng.choice(_SHAPES)
    return _changed(file, rng, lambda tensor: torch.ones(shape, dtype=tensor.dtype))


def _refill(file: File, _: list[File], rng: random.Random) -> File:
    """Insert values that are not finite, too large or zero."""
    value = rng.choice((float("nan"), float("inf"), -float("inf"), 65504.0, 0.0, -1.0, 1e-7))
    return _changed(file, rng, lambda tensor: torch.full(tensor.shape, value, dtype=torch.float64).to(tensor.dtype))


def _retype(file: File, _: list[File], rng: random.Random) -> File:
    dtype, scale = rng.choice(list(NAMES)), rng.choice((1.0, 1.0, 1e30))
    return _changed(file, rng, lambda tensor: (tensor.double() * scale).to(dtype))


def _drop(file: File, _: list[File], rng: random.Random) -> File:
    kept = [entry for entry in file.tensors if rng.random() < 0.8]
    return replace(file, tensors=kept)


def _mix(file: File, files: list[File], rng: random.Random) -> File:
    """Mix two dialects in one file."""
    other = rng.choice(files)
    return _without_doubles(File([*file.tensors, *other.tensors], {**file.metadata, **other.metadata}))


def _annotate(file: File, _: list[File], rng: random.Random) -> File:
    """Change the metadata."""
    key = rng.choice(
        (
            "lora_adapter_metadata",
            "ss_network_args",
            "ss_base_model_version",
            "unet",
            "text_encoder",
            "modelspec.hash_sha256",
        )
    )
    texts = ("", "{", "[]", "null", "7", "NaN", '{"r": "x", "lora_alpha": "y"}', '{"unet.r": 0, "unet.lora_alpha": 0}')
    patterns = (
        '{"unet.alpha_pattern": {"(": 1}}',
        '{"unet.alpha_pattern": [1]}',
        '{"unet.lora_alpha": 1e400}',
        "[[1]]",
    )
    return replace(file, metadata={**file.metadata, key: rng.choice(texts + patterns)})


def _whole(file: File, _: random.Random) -> bytes:
    return file.encode()


def _header(file: File, rng: random.Random) -> bytes:
    """Insert wrong dtypes, shapes, offsets and JSON, and duplicate keys."""

    def spoil(items: list[tuple[str, Any]]) -> None:
        index = rng.randrange(len(items)) if items else 0
        if not items or rng.random() < 0.1:
            items.append(rng.choice((("__metadata__", {"a": 1}), ("__metadata__", 3), ("x", None), ("x", {}))))
        elif rng.random() < 0.1:
            items.append(items[index])
        elif "shape" in items[index][1]:
            entry = dict(items[index][1])
            begin, end = entry["data_offsets"]
            name, value = rng.choice(
                (
                    ("dtype", rng.choice((*TYPES, "F4", "F6_E2M3", "F8_E8M0", "C64", "U16", "", None, 3))),
                    ("shape", rng.choice(([], [0], [-1, 2], [2**40, 2**40], "x", None, [1.5], entry["shape"][::-1]))),
                    (
                        "data_offsets",
                        rng.choice(([end, begin], [begin, end + 2], [0, 2], [-2, end], [begin], [2**63, 2**64])),
                    ),
                    ("more", 1),
                )
            )
            items[index] = (items[index][0], {**entry, name: value})

    return file.encode(spoil)


def _bytes(file: File, rng: random.Random) -> bytes:
    """Drop, change and insert bytes."""
    data = file.encode()
    position = rng.randrange(len(data))
    return rng.choice(
        (
            data[:position],
            data[: rng.randrange(12)],
            data[:position] + rng.randbytes(1) + data[position + 1 :],
            data + rng.randbytes(3),
            rng.choice((0, 1, 2**31, 2**63, 2**64 - 1, position)).to_bytes(8, "little") + data[8:],
            rng.randbytes(40),
            b"version https://git-lfs.github.com/spec/v1\n",
            b"PK\x03\x04" + data,
        )
    )


def _changed(file: File, rng: random.Random, change: Callable[[Tensor], Tensor]) -> File:
    """Return the file with one changed tensor."""
    if not file.tensors:
        return file
    tensors, index = list(file.tensors), rng.randrange(len(file.tensors))
    tensors[index] = (tensors[index][0], change(tensors[index][1]))
    return replace(file, tensors=tensors)


def _without_doubles(file: File) -> File:
    return replace(file, tensors=list(dict(file.tensors).items()))
