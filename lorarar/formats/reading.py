"""Reading: from the keys of a file to its stored layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lorarar.formats.algorithms.roles import algorithm_of
from lorarar.formats.dialects import peft
from lorarar.formats.dialects.grouping import group_keys, parse_all, rows_in, scheme_in
from lorarar.formats.embeddings import is_embedding
from lorarar.formats.naming import blocks
from lorarar.formats.naming.keys import Key
from lorarar.formats.naming.originals import NamingScheme, scheme_fits
from lorarar.formats.naming.rows import Rows
from lorarar.formats.scaling import (
    AdapterConfig,
    config_for,
    configs_from_header,
    flag,
    scaling_from_config,
    scaling_from_header,
)
from lorarar.formats.stored import MATRICES, StoredLayer
from lorarar.formats.tensor_files import TensorFile, read_tensor_file
from lorarar.lora.families import (
    FAMILIES,
    Family,
    choose_family,
    find_families,
    lacks_modulation,
    lookalike,
    stated_families,
    stated_models,
)
from lorarar.storage import FormatError, is_hub_id, local_path

_EXAMPLES = 3
_HUB_FILES = ["*.safetensors", "adapter_config.json"]


@dataclass(frozen=True, eq=False)
class StoredLoRA:
    """Content of a LoRA file, before its deltas are computed. It is complete even if the deltas need the base model.

    Attributes:
        path: The file.
        dialect: Dialect of most keys.
        family: A key of `lorarar.lora.families.FAMILIES`, or "".
        layers: Path of each stored layer -> stored layer. A fused projection is one layer, under its first path.
        embeddings: Key -> learned token.
        header: Metadata of the file.
        sha256: SHA-256 of the file, 64 hexadecimal digits.
        warnings: Anomalies of the file.
        scheme: Naming scheme of the denoiser's layers in the file.
        alphas_from: Where an alpha that is not beside its layer comes from: "the header", "adapter_config.json"; ""
            without one.
    """

    path: Path
    dialect: str
    family: str
    layers: Mapping[str, StoredLayer]
    embeddings: Mapping[str, Tensor]
    header: Mapping[str, str]
    sha256: str
    warnings: tuple[str, ...] = ()
    scheme: NamingScheme = "diffusers"
    alphas_from: str = ""

    @property
    def algorithms(self) -> dict[str, str]:
        """Layer path -> "lora", "loha", "dora", ..."""
        return {path: stored.algorithm for path, stored in self.layers.items()}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Layer path -> shape of the stored delta, (out, in) or (n,); () if the parts do not determine it."""
        return {path: stored.shape for path, stored in self.layers.items()}

    @property
    def ranks(self) -> dict[str, int | None]:
        """Layer path -> rank of the stored factors; None without factors."""
        return {path: stored.rank for path, stored in self.layers.items()}

    @property
    def alphas(self) -> dict[str, float | None]:
        """Layer path -> alpha from the file or its configuration; None without alpha."""
        return {path: stored.alpha for path, stored in self.layers.items()}


def read_stored(path: str | Path) -> StoredLoRA:
    """Read a LoRA file of any supported dialect without computing deltas.

    Args:
        path: A safetensors file, a folder with exactly one, or a hub id (owner/name) of such a folder.

    Raises:
        FormatError: The file is missing, damaged, not finite, incomplete, or of no supported dialect.
        FileNotFoundError: The hub has no such LoRA, or cannot be reached.
    """
    path = weights_file(local_path(path, _HUB_FILES) if _is_on_hub(path) else Path(path))
    file = read_tensor_file(path)
    try:
        embeddings = {key: tensor for key, tensor in file.tensors.items() if is_embedding(key)}
        keys = parse_all([key for key in file.tensors if key not in embeddings], file.header)
        rows = rows_in(keys, file.header)
        layers, alphas_from, warnings = _scaled(path, keys, rows, file)
        scheme = scheme_in(keys)
        shapes = {name: shape for stored in layers.values() for name, shape in stored.divided_shapes().items()}
        family, doubts = family_in(shapes, scheme, file.header)
    except ValueError as error:
        raise FormatError(f"{path}: {error}") from error
    dialect = Counter(key.dialect for key in keys.values()).most_common(1)[0][0]
    warnings = [*_warnings(keys, embeddings), *warnings, *doubts]
    return StoredLoRA(
        path,
        dialect,
        family,
        layers,
        embeddings,
        file.header,
        file.sha256,
        tuple(warnings),
        scheme,
        alphas_from,
    )


def _scaled(
    path: Path, keys: Mapping[str, Key], rows: Mapping[tuple[str, str], Rows], file: TensorFile
) -> tuple[dict[str, StoredLayer], str, list[str]]:
    """Return the stored layers with the configuration of the header, or with that beside the file where it fits.

    Returns:
        Path -> stored layer; where alphas that are not beside their layers come from; warnings.

    Raises:
        ValueError: A layer is incomplete, or a configuration is damaged or for another adapter.
    """
    in_header = configs_from_header(file.header)
    layers = _stored(keys, rows, file.tensors, file.header, in_header)
    if in_header:
        return layers, "the header", []
    beside = peft.read_adapter_config(path) if peft.is_adapter(path, keys.values()) else {}
    if not beside:
        return layers, "", []
    misfit = peft.misfit(beside, layers)
    if misfit and path.name == peft.WEIGHTS_NAME:
        raise ValueError(
            f"expected the configuration of this adapter in {peft.CONFIG_NAME} beside it, found that of another: "
            f"{misfit}; put the right one there, or rename the weights to read them with alpha = rank"
        )
    if misfit:
        return layers, "", [f"{peft.CONFIG_NAME} beside the file is for another adapter ({misfit}) and is not used"]
    return _stored(keys, rows, file.tensors, file.header, beside), peft.CONFIG_NAME, []


def _stored(
    keys: Mapping[str, Key],
    rows: Mapping[tuple[str, str], Rows],
    tensors: Mapping[str, Tensor],
    header: Mapping[str, str],
    configs: Mapping[str, AdapterConfig],
) -> dict[str, StoredLayer]:
    """Return the first path of each stored layer -> stored layer."""
    default = scaling_from_header(header)
    layers: dict[str, StoredLayer] = {}
    wrong: list[str] = []
    for place, roles in group_keys(keys, rows).items():
        path = rows[place].paths[0]
        config, inner = config_for(configs, path)
        try:
            name = algorithm_of(roles)
        except ValueError as error:
            wrong.append(f"{next(iter(roles.values()))} ({error})")
            continue
        if config and flag(config, "use_dora") and name != "dora":
            raise ValueError(f"layer {path}: expected the magnitudes of DoRA, found none: save the LoRA again")
        scaling = default if config is None else scaling_from_config(config, inner)
        layers[path] = StoredLayer(rows[place], _parts(path, roles, tensors), name, scaling)
    if wrong:
        raise ValueError(
            f"{len(wrong)} of {len(wrong) + len(layers)} layers have missing or superfluous parts, first "
            f"{wrong[:_EXAMPLES]}: the file is incomplete, save or download it again"
        )
    _check_order(layers)
    return layers


def _check_order(layers: Mapping[str, StoredLayer]) -> None:
    """Refuse a file whose factors are swapped: all layers then look square, and as small as their true rank.

    Raises:
        ValueError: They are swapped.
    """
    factored = [layer for layer in layers.values() if layer.algorithm == "lora" and layer.shape]
    if factored and all(layer.shape[0] == layer.shape[-1] < (layer.rank or 0) for layer in factored):
        shapes = [tuple(factored[0].parts[role].shape) for role in ("down", "up")]
        raise ValueError(
            f"expected factors down (rank, in) and up (out, rank), found {shapes[0]} and {shapes[1]}, which are "
            "swapped or transposed: save the LoRA again"
        )


def _parts(path: str, roles: Mapping[str, str], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parts = {role: tensors[key] for role, key in roles.items()}
    bad = [roles[role] for role, part in parts.items() if not part.numel() or (role in MATRICES and part.ndim < 2)]
    if bad:
        raise ValueError(f"layer {path}: expected matrices, found {bad}, which are empty or vectors: save it again")
    return parts


def family_in(
    shapes: Mapping[str, tuple[int, ...]], scheme: NamingScheme, header: Mapping[str, str]
) -> tuple[str, list[str]]:
    """Return the family of a file, by its header and names first and by the shapes of its layers last.

    Args:
        shapes: Layer path -> shape of its delta; () if it is unknown.
        scheme: Naming scheme of the denoiser's layers.
        header: Metadata of the file.

    Returns:
        A key of `lorarar.lora.families.FAMILIES`, "" if it is unknown or not decided; and warnings.

    Raises:
        ValueError: The header, the names and the shapes contradict one another.
    """
    statements = stated_models(header)
    named = [family for family in FAMILIES.values() if scheme_fits(scheme, family.key)]
    matching = [family for family in find_families(shapes) if family in named]
    chosen = choose_family(matching, header)
    admitted = stated_families(matching, statements)
    if scheme == "diffusers":
        doubt = "" if statements or not chosen else lookalike(shapes)
        return ("", [f"the layers are those of {doubt} too: the base model is not known"]) if doubt else (chosen, [])
    doubt = "" if statements else lookalike(shapes)
    if scheme != "sgm" and (doubt or not admitted):
        stated = f"a header that says {statements[0].label} ({statements[0].value!r})" if statements else ""
        raise ValueError(
            f"expected layers of {_labels(named)}, whose names the file has, found {stated or doubt or 'others'}: the "
            "file is for another model (FLUX.2, HunyuanVideo and others have such names too), which is not supported"
        )
    if scheme == "flux" and chosen == "flux" and not statements and lacks_modulation(shapes):
        return "", ["no modulation layers in a file with all other layers: FLUX.1 or Chroma"]
    if scheme != "sgm":
        return chosen, []
    with_sgm = [family.key for family in matching if family.sgm]
    if not with_sgm:
        raise ValueError(
            f"the file has Stability's block numbers (input_blocks, ...): expected layers of {_labels(named)}, found "
            f"others: convert it to diffusers names with a tool for its model"
        )
    # Trainers use these names for SDXL; they use diffusers names for older models.
    return chosen or ("sdxl" if "sdxl" in with_sgm and not statements else ""), []


def _labels(families: Sequence[Family]) -> str:
    return " or ".join(family.label for family in families)


def _warnings(keys: Mapping[str, Key], embeddings: Mapping[str, Tensor]) -> Iterator[str]:
    dialects = Counter(key.dialect for key in keys.values())
    if len(dialects) > 1:
        counts = ", ".join(f"{name} ({count} keys)" for name, count in dialects.most_common())
        yield f"the file mixes the dialects {counts}"
    roots = {key.path.partition(".")[0] for key in keys.values() if not key.model}
    if roots & set(blocks.ROOTS) and roots & {"down_blocks", "mid_block", "up_blocks"}:
        yield "the file mixes block names of Stability and diffusers; diffusers drops the former"
    if embeddings:
        yield f"the file contains {len(embeddings)} learned embeddings, which are written beside the result"


def _is_on_hub(path: str | Path) -> bool:
    """Return whether a name is a LoRA's hub id, which always has an owner."""
    return is_hub_id(path) and "/" in str(path)


def weights_file(path: Path) -> Path:
    """Return the file itself, or the only safetensors file in a folder.

    Raises:
        FormatError: The folder contains no safetensors file, or several.
    """
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.safetensors"))
    if len(files) != 1:
        names = f"several safetensors files, first {files[0].name}" if files else "no safetensors file"
        raise FormatError(f"expected the file of a LoRA, found the folder {path} with {names}: give the file itself")
    return files[0]
