"""Grouping: from the keys of a file to layers and their parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lorarar.formats.algorithms.roles import split_key
from lorarar.formats.dialects import cloneofsimo, kept
from lorarar.formats.dialects.table import DIALECTS
from lorarar.formats.dialects.unsupported import unsupported_kind
from lorarar.formats.naming import blocks, originals
from lorarar.formats.naming.keys import Key, layer_path
from lorarar.lora import Rows, whole_layer
from lorarar.lora.families import SGM_LAYERS_PER_BLOCK, stated_models

_SUPPORTED = "kohya, diffusers, peft, ComfyUI, OneTrainer, SimpleTuner, XLabs and cloneofsimo"
_EXAMPLES = 3
NETWORK_KEY = "lorarar_merger"  # in the header of the files that lorarar.hypernetwork writes
_UNET = {*blocks.ROOTS, "down_blocks", "mid_block", "up_blocks"}
# Modules that torch.compile, data-parallel training and checkpointing put around others.
_WRAPPERS = re.compile(r"(?:(?<=[._])|^)(?:(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)[._]|module\.)")
# peft's name of the adapter, which its own files leave out.
_ADAPTER = re.compile(r"(?<=\.lora_[AB])\.(?!weight$|bias$)([^.]+)(?=\.(?:weight|bias)$)")


def parse_all(names: Sequence[str], header: Mapping[str, str]) -> dict[str, Key]:
    """Parse all keys of a file.

    Args:
        names: Keys of the file.
        header: Metadata of the file, which is needed for numbered layers.

    Raises:
        ValueError: A key belongs to no supported dialect, the keys are those of several adapters, or the file holds a
            network of lorarar.
    """
    if NETWORK_KEY in header:
        raise ValueError("expected a LoRA, found a network of lorarar: merge LoRAs with it as `network`")
    adapters = sorted({found[1] for name in names if (found := _ADAPTER.search(name))})
    if len(adapters) > 1:
        raise ValueError(f"expected one LoRA, found the adapters {', '.join(adapters)}: save each as a file of its own")
    parsed = {name: _parse(_plain(name)) for name in names}
    keys = {name: key for name, key in parsed.items() if key}
    unknown = [name for name in names if name not in keys]
    if unknown and (kind := unsupported_kind(unknown, names)):
        raise ValueError(f"expected a LoRA, {kind}")
    if not any(key.path.partition(".")[0] in _UNET for key in keys.values()):
        keys |= {name: key for name in unknown if (key := kept.parse(_plain(name)))}
        unknown = [name for name in names if name not in keys]
    if unknown or not keys:
        raise ValueError(
            f"{len(unknown)} of {len(names)} keys belong to no supported LoRA dialect, first {unknown[:_EXAMPLES]}: "
            f"expected keys of {_SUPPORTED}, or of another tool with the same endings; if this is a LoRA, take it "
            "without other weights"
        )
    return _numbered({name: keys[name] for name in names}, header)


def stem_of(name: str) -> str:
    """Return the part of a key that names its layer in the file; "" for dialects whose keys have no such part."""
    parts = split_key(_plain(name).replace(".default", ""))
    return parts[0] if parts else ""


def _plain(name: str) -> str:
    """Return a key without wrappers, and with peft's default name in place of another adapter's."""
    return _ADAPTER.sub(".default", _WRAPPERS.sub("", name))


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


def schemes_in(keys: Mapping[str, Key]) -> list[originals.NamingScheme]:
    """Return the naming schemes that can be those of the denoiser's layers, the likeliest first."""
    return originals.schemes_of({key.path for key in keys.values() if not key.model})


def rows_in(
    keys: Mapping[str, Key], header: Mapping[str, str], scheme: originals.NamingScheme
) -> dict[tuple[str, str], Rows]:
    """Return (model, path) of each stored layer -> the diffusers layers in its rows.

    Args:
        keys: Key in the file -> its meaning.
        header: Metadata of the file, which may say whose text encoders it holds.
        scheme: Naming scheme of the denoiser's layers.

    Raises:
        ValueError: A key names a layer that the model does not contain.
    """
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


def group_keys(keys: Mapping[str, Key]) -> dict[tuple[str, str], dict[str, str]]:
    """Return (model, path) of each stored layer -> role -> key.

    Raises:
        ValueError: The file contains a layer twice.
    """
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for name, key in keys.items():
        other = groups.setdefault((key.model, key.path), {}).setdefault(key.role, name)
        if other is not name:
            raise _twice(layer_path(key.model, key.path), other, name)
    return groups


def check_no_doubles(groups: Mapping[tuple[str, str], Mapping[str, str]], rows: Mapping[tuple[str, str], Rows]) -> None:
    """Check that no layer is stored both alone and in a fused layer, or in two dialects.

    Raises:
        ValueError: The file contains a layer twice.
    """
    first: dict[str, str] = {}
    for place, roles in groups.items():
        name = next(iter(roles.values()))
        for path in rows[place].paths:
            if first.setdefault(path, name) is not name:
                raise _twice(path, first[path], name)


def _twice(path: str, first: str, second: str) -> ValueError:
    return ValueError(
        f"the file contains layer {path} twice, as {first} and {second}: it mixes two dialects; save it again"
    )
