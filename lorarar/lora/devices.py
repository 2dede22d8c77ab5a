"""Devices: the accelerator or CPU that a name means on this machine."""

from __future__ import annotations

import torch


def pick_device(name: str | torch.device = "auto", *, mps: bool = True) -> torch.device:
    """Return the torch device for a name.

    Args:
        name: "auto" takes CUDA, else MPS, else the CPU. "cpu", "cuda", "cuda:1" and "mps" take the device of that name.
        mps: Whether "auto" may take MPS, which has neither float64 nor some decompositions of matrices.

    Returns:
        The device, for example `device(type="cuda")`. "auto" never fails.

    Raises:
        ValueError: The name is not a device that lorarar computes on, or this machine has none of that name.
    """
    present = available_devices()
    if name == "auto":
        return torch.device(next(found for found in present if mps or found != "mps"))
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"expected a device among auto, cpu, cuda, mps, found '{name}': name one of these")
    if device.type not in present:
        raise ValueError(
            f"expected a device of this machine ({', '.join(present)}), found '{name}', which torch "
            f'{torch.__version__} does not find: use `device="auto"`, or install a build of torch for this accelerator'
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(f"expected a device among cuda:0 .. cuda:{count - 1}, found '{name}': name one of these")
    return device


def available_devices() -> tuple[str, ...]:
    """Return the types of device that torch finds here, the one that "auto" takes first."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return (*(name for name, available in found.items() if available), "cpu")
