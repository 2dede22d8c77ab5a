"""Cache on disk: results under the digest of all that they depend on."""

from __future__ import annotations

from pathlib import Path

from lorarar.storage.hashing import digest


def cached_path(folder: Path, identity: object, suffix: str) -> Path:
    """Return the place of a result, whether it exists yet or not, and create its folder.

    Args:
        folder: The cache.
        identity: Plain data: everything that the result depends on. A seed alone is no identity.
        suffix: Of the file, such as ".json".

    Returns:
        `folder/ab/abcd...suffix`, named after the digest of the identity.
    """
    key = digest(identity)
    place = folder / key[:2]
    place.mkdir(parents=True, exist_ok=True)
    return place / f"{key}{suffix}"
