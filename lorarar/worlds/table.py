"""Worlds by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lorarar.storage import unknown_name

if TYPE_CHECKING:
    from lorarar.worlds.stages.world import World

WORLDS = ("toy", "art")


def world_named(name: str) -> World:
    """Return a world by its name.

    Raises:
        ValueError: No world has the name.
    """
    if name == "toy":
        from lorarar.worlds.toy.definition import TOY

        return TOY
    if name == "art":
        from lorarar.worlds.art.definition import ART

        return ART
    raise ValueError(unknown_name("world", name, WORLDS))
