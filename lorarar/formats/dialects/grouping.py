"""Grouping: from the keys of a file to layers and their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lorarar.formats.dialects import cloneofsimo
from lorarar.formats.dialects.table import DIALECTS
from lorarar.formats.naming import originals
from lorarar.formats.naming.keys import Key, layer_path
from lorarar.formats.naming.rows import Rows, whole_layer
from lorarar.lora.families import SGM_LAYERS_PER_BLOCK, stated_models

_SUPPORTED = "kohya, diffusers, peft, ComfyUI, OneTrainer, SimpleTuner, XLabs and cloneofsimo"
_EXAMPLES = 3


def parse_all(names: Sequence[str], header: Mapping[str, str]) -> dict[str, Key]:
    """Parse all keys of a file.

    Args:
        names: Keys of the file.
        header: Metadata of the file, which is needed for numbered layers.

    Raises:
        ValueError: A key belongs to no supported dialect.
    """
    parsed = {name: _parse(name) for name in names}
    keys = {name: key for name, key in parsed.items() if key}
    unknown = [name for name in names if name not in keys]
    if unknown or not keys:
        raise ValueError(
            f"{len(unknown)} of {len(names)} keys belong to no supported LoRA dialect, first {unknown[:_EXAMPLES]}: "
            f"expected keys of {_SUPPORTED}; if this is a LoRA, save it with diffusers or kohya's tools, without other "
            f"weights"
        )
    return _numbered(keys, header)


def _parse(name: str) -> Key | None:
    """Return the meaning of a key by the first dialect that parses it; those of plugins come last."""
    for dialect in DIALECTS.own().values():
        if dialect.parse and (key := dialect.parse(name)):
            return key
    for dialect in DIALECTS.added():
        if dialect.parse and (key := dialect.parse(name)):
            return replace(key, dialect=dialect.name)
    return None


def _numbered(keys: Mapping[str, Key], header: Mapping[str, str]) -> dict[str, Key]:
    """Replace the numbers of the cloneofsimo dialect by paths."""
    numbers: dict[str, set[int]] = {}
    for key in keys.values():
        if key.dialect == cloneofsimo.DIALECT:
            numbers.setdefault(key.model, set()).add(int(key.path))
    paths = {model: cloneofsimo.numbered_paths(header, model, max(used) + 1) for model, used in numbers.items()}
    resolved: dict[str, Key] = {}
    for name, key in keys.items():
        numbered = key.dialect == cloneofsimo.DIALECT
        resolved[name] = replace(key, path=paths[key.model][int(key.path)]) if numbered else key
    return resolved


def scheme_in(keys: Mapping[str, Key]) -> originals.NamingScheme:
    """Return the naming scheme of the denoiser's layers."""
    return originals.scheme_of(key.path for key in keys.values() if not key.model)


def rows_in(keys: Mapping[str, Key], header: Mapping[str, str]) -> dict[tuple[str, str], Rows]:
    """Return (model, path) of each stored layer -> the diffusers layers in its rows.

    Args:
        keys: Key in the file -> its meaning.
        header: Metadata of the file, which may say whose text encoders it holds.

    Raises:
        ValueError: A key names a layer that the model does not contain.
    """
    scheme = scheme_in(keys)
    flux = scheme == "flux" or _is_flux(keys, header)
    rows: dict[tuple[str, str], Rows | None] = {}
    for key in keys.values():
        if key.model:
            # The second text encoder of FLUX is T5, which trainers number as the third.
            model = "text_encoder_2" if flux and key.model == "text_encoder_3" else key.model
            rows[key.model, key.path] = whole_layer(layer_path(model, key.path))
        elif (key.model, key.path) not in rows:
            rows[key.model, key.path] = originals.rows_of(key.path, scheme, SGM_LAYERS_PER_BLOCK)
    unknown = [name for name, key in keys.items() if rows[key.model, key.path] is None]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(keys)} keys name layers outside the model, first {unknown[:_EXAMPLES]}: the file "
            f"is damaged or for an unsupported model; save it again"
        )
    return {place: layers for place, layers in rows.items() if layers}


def _is_flux(keys: Mapping[str, Key], header: Mapping[str, str]) -> bool:
    """Return whether a file in diffusers names is for FLUX.1, by its layers or by its header."""
    single = any(not key.model and key.path.startswith("single_transformer_blocks.") for key in keys.values())
    return single or any("flux" in statement.families for statement in stated_models(header))


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


def _twice(path: str, first: str, second: str) -> ValueError:
    return ValueError(
        f"the file contains layer {path} twice, as {first} and {second}: it mixes two dialects; save it again"
    )
