"""Registered soon."""

from lorarar.cli.configured import Commands


def add(commands: Commands) -> None:  # type: ignore[type-arg]
    """Registers nothing yet."""
