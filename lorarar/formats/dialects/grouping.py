"""Grouping: from the keys of a file to layers and their parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from lorarar.formats.dialects import cloneofsimo, comfyui, diffusers, kohya, xlabs
from lorarar.formats.naming import originals
from lorarar.formats.naming.keys import Key, layer_path
from lorarar.formats.naming.rows import Rows, whole_layer
from lorarar.lora.families import SGM_LAYERS_PER_BLOCK

# The first that knows a key reads it.
DIALECTS: tuple[Callable[[str], Key | None], ...] = (
    kohya.parse,
    cloneofsimo.parse,
    xlabs.parse,
    comfyui.parse,
    diffusers.parse,
)
_READ = "kohya, diffusers, peft, ComfyUI, OneTrainer, SimpleTuner, XLabs and cloneofsimo"
_SHOWN = 3


def parse_all(names: Sequence[str], header: Mapping[str, str]) -> dict[str, Key]:
    """Parse all keys of a file.

    Args:
        names: Keys of the file.
        header: Metadata of the file, which is needed for numbered layers.

    Raises:
        ValueError: A key belongs to no supported dialect.
    """
    keys = {name: next((key for parse in DIALECTS if (key := parse(name))), None) for name in names}
    unknown = [name for name, key in keys.items() if key is None]
    if unknown or not keys:
        raise ValueError(
            f"{len(unknown)} of {len(names)} keys are of no known LoRA layout, first {unknown[:_SHOWN]}: expected the "
            f"layout of {_READ}; if this is a LoRA, save it with diffusers or kohya's tools, without other weights"
        )
    return _numbered({name: key for name, key in keys.items() if key}, header)


def _numbered(keys: Mapping[str, Key], header: Mapping[str, str]) -> dict[str, Key]:
    """Replace the numbers of the cloneofsimo dialect by paths."""
    numbers: dict[str, set[int]] = {}
    for key in keys.values():
        if key.dialect == cloneofsimo.DIALECT:
            numbers.setdefault(key.model, set()).add(int(key.path))
    paths = {model: cloneofsimo.numbered_paths(header, model, max(found) + 1) for model, found in numbers.items()}
    return {
        name: replace(key, path=paths[key.model][int(key.path)]) if key.dialect == cloneofsimo.DIALECT else key
        for name, key in keys.items()
    }


def scheme_in(keys: Mapping[str, Key]) -> originals.NamingScheme:
    """Return the naming scheme of the denoiser's layers."""
    return originals.scheme_of(key.path for key in keys.values() if not key.model)


def rows_in(keys: Mapping[str, Key]) -> dict[tuple[str, str], Rows]:
    """Return (model, path) of each stored layer -> the diffusers layers in its rows.

    Raises:
        ValueError: A key names a layer that the model does not contain.
    """
    layout = scheme_in(keys)
    rows: dict[tuple[str, str], Rows | None] = {}
    for key in keys.values():
        if key.model:
            # FLUX's second encoder is T5, which trainers count as the third.
            model = "text_encoder_2" if (key.model, layout) == ("text_encoder_3", "flux") else key.model
            rows[key.model, key.path] = whole_layer(layer_path(model, key.path))
        elif (key.model, key.path) not in rows:
            rows[key.model, key.path] = originals.rows_of(key.path, layout, SGM_LAYERS_PER_BLOCK)
    unknown = [name for name, key in keys.items() if rows[key.model, key.path] is None]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(keys)} keys name layers that the model does not have, first {unknown[:_SHOWN]}: "
            f"the file is for another model, or damaged"
        )
    return {place: found for place, found in rows.items() if found}


def group_keys(keys: Mapping[str, Key], rows: Mapping[tuple[str, str], Rows]) -> dict[tuple[str, str], dict[str, str]]:
    """Return (model, path) of each stored layer -> role -> key.

    Raises:
        ValueError: The file contains a layer twice.
    """
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for name, key in keys.items():
        other = groups.setdefault((key.model, key.path), {}).setdefault(key.role, name)
        if other is not name:
            raise _twice(rows[key.model, key.path].paths[0], other, name)
    first: dict[str, str] = {}
    for place, roles in groups.items():
        name = next(iter(roles.values()))
        for path in rows[place].paths:
            if first.setdefault(path, name) is not name:
                raise _twice(path, first[path], name)
    return groups


def _twice(path: str, one: str, other: str) -> ValueError:
    return ValueError(f"the file holds layer {path} twice, as {one} and {other}: it mixes two layouts, save it again")
