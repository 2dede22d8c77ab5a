"""Renders of a world as training data: drawn once, kept in parts, so that a stopped run loses one part at most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorarar.storage import atomic_write, digest, progress
from lorarar.worlds.stages.world import Render, World, stack_images

_PART = 500  # renders


def draw(world: World, plan: Sequence[Render]) -> Tensor:
    """Return the renders of a plan, (n, 3, size, size) bytes."""
    return stack_images([world.render(*render) for render in plan])


def kept_renders(world: World, plan: Sequence[Render], folder: Path) -> Tensor:
    """Return the renders of a plan, (n, 3, size, size) bytes; those in the folder are read."""
    return kept_parts(world, plan, folder, lambda images: images, "draw")


def kept_parts(
    world: World,
    plan: Sequence[Render],
    folder: Path,
    compute: Callable[[Tensor], Tensor],
    stage: str,
    key: str = "",
) -> Tensor:
    """Return what is computed from the renders of a plan; parts that the folder holds are read.

    Args:
        world: The world.
        plan: Images to draw.
        folder: Folder of the parts, created if missing.
        compute: Function of renders (n, 3, size, size), bytes; the first axis of its result is n.
        stage: Name of the work beside the progress bar.
        key: What else the result depends on. A part of another key, plan or drawing is computed again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    with progress(stage, len(plan), "renders") as advance:
        for start in range(0, len(plan), _PART):
            renders = plan[start : start + _PART]
            # The first image stands for the renderer: another renderer draws another one.
            name = digest([key, [repr(render) for render in renders], draw(world, renders[:1]).flatten().tolist()])
            path = folder / f"{start:06d}_{name[:12]}.safetensors"
            if not path.is_file():
                with atomic_write(path, force=True) as temporary:
                    save_file({"values": compute(draw(world, renders)).contiguous()}, temporary)
            parts.append(load_file(path)["values"])
            advance(len(renders))
    return torch.cat(parts)
