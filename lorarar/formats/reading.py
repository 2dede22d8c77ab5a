"""Reading: from the keys of a file to its stored layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from lorarar.formats.algorithms.layer import ON_BASE
from lorarar.formats.algorithms.roles import algorithm_of
from lorarar.formats.algorithms.scaling import Scaling
from lorarar.formats.dialects import peft
from lorarar.formats.dialects.grouping import check_no_doubles, group_keys, parse_all, rows_in, schemes_in, stem_of
from lorarar.formats.dialects.unsupported import check_layers
from lorarar.formats.embeddings import is_embedding
from lorarar.formats.identification import Identity, identify
from lorarar.formats.naming import blocks
from lorarar.formats.naming.keys import Key, layer_path
from lorarar.formats.naming.originals import NamingScheme
from lorarar.formats.scaling import (
    AdapterConfig,
    alpha_warnings,
    check_config,
    config_for,
    configs_from_header,
    scaling_from_config,
    scaling_from_header,
)
from lorarar.formats.stored import MATRICES, StoredLayer
from lorarar.formats.tensor_files import TensorFile, read_tensor_file
from lorarar.lora import Rows, whole_layer
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
        names: Name of each stored layer in the file -> the layers in its rows.
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
    names: Mapping[str, Rows] = field(default_factory=dict)

    @property
    def algorithms(self) -> dict[str, str]:
        """Layer path -> "lora", "loha", "dora", ..."""
        return {path: stored.algorithm for path, stored in self.layers.items()}

    @property
    def needs_base(self) -> bool:
        """Return whether the delta of a layer depends on the base's weights (DoRA, IA3, OFT, GLoRA)."""
        return not ON_BASE.keys().isdisjoint(self.algorithms.values())

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
        places = _complete(keys, file.tensors)
        _check_order(places.values())
        (scheme, family, doubts), rows = _identified(keys, places, file.header)
        named = {rows[place].paths[0]: replace(layer, rows=rows[place]) for place, layer in places.items()}
        layers, alphas_from, warnings = _scaled(path, keys, named, file)
        shapes = _shapes(places, rows)
        doubts += [*check_layers(family, layers, shapes), *alpha_warnings(file.header, layers.values())]
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
        {stem: rows[key.model, key.path] for name, key in keys.items() if (stem := stem_of(name))},
    )


_Place = tuple[str, str]  # model and path of a stored layer, with the file's names


def _complete(keys: Mapping[str, Key], tensors: Mapping[str, Tensor]) -> dict[_Place, StoredLayer]:
    """Return the place of each stored layer -> the layer under its own name, without the scaling of a configuration.

    Raises:
        ValueError: A layer is incomplete.
    """
    layers: dict[_Place, StoredLayer] = {}
    wrong: list[str] = []
    for place, roles in group_keys(keys).items():
        path = layer_path(*place)
        try:
            name = algorithm_of(roles)
        except ValueError as error:
            wrong.append(f"{next(iter(roles.values()))} ({error})")
            continue
        layers[place] = StoredLayer(whole_layer(path), _parts(path, roles, tensors), name, Scaling())
    if wrong:
        raise ValueError(
            f"{len(wrong)} of {len(wrong) + len(layers)} layers have missing or superfluous parts, first "
            f"{wrong[:_EXAMPLES]}: the file is incomplete, save or download it again"
        )
    return layers


def _identified(
    keys: Mapping[str, Key], places: Mapping[_Place, StoredLayer], header: Mapping[str, str]
) -> tuple[Identity, dict[_Place, Rows]]:
    """Return the base model, and the diffusers layers in the rows of each stored layer.

    Raises:
        ValueError: Header, names and shapes contradict one another, or the file contains a layer twice.
    """
    candidates = {scheme: rows_in(keys, header, scheme) for scheme in schemes_in(keys)}
    identity = identify({scheme: _shapes(places, rows) for scheme, rows in candidates.items()}, header)
    rows = candidates[identity.scheme]
    check_no_doubles(group_keys(keys), rows)
    return identity, rows


def _shapes(places: Mapping[_Place, StoredLayer], rows: Mapping[_Place, Rows]) -> dict[str, tuple[int, ...]]:
    """Return the diffusers path of each layer -> shape of its delta; () if it is unknown."""
    divided = (replace(layer, rows=rows[place]).divided_shapes() for place, layer in places.items())
    return {path: shape for shapes in divided for path, shape in shapes.items()}


def _scaled(
    path: Path, keys: Mapping[str, Key], unscaled: Mapping[str, StoredLayer], file: TensorFile
) -> tuple[dict[str, StoredLayer], str, list[str]]:
    """Return the stored layers with the configuration of the header, or with that beside the file where it fits.

    Returns:
        Path -> stored layer; where alphas that are not beside their layers come from; warnings.

    Raises:
        ValueError: A layer is incomplete, or a configuration is damaged or for another adapter.
    """
    in_header = configs_from_header(file.header)
    layers = _with_config(unscaled, file.header, in_header)
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
    return _with_config(unscaled, file.header, beside), peft.CONFIG_NAME, []


def _with_config(
    unscaled: Mapping[str, StoredLayer], header: Mapping[str, str], configs: Mapping[str, AdapterConfig]
) -> dict[str, StoredLayer]:
    """Return the layers with the scaling of the configuration of their model, where there is one."""
    default = scaling_from_header(header)
    layers: dict[str, StoredLayer] = {}
    for path, layer in unscaled.items():
        config, inner = config_for(configs, path)
        check_config(config or {}, path, layer.algorithm)
        layers[path] = replace(layer, scaling=default if config is None else scaling_from_config(config, inner))
    return layers


def _check_order(layers: Iterable[StoredLayer]) -> None:
    """Refuse a file whose factors are swapped: all layers then look square, and as small as their true rank.

    Raises:
        ValueError: They are swapped.
    """
    factored = [layer for layer in layers if layer.algorithm == "lora" and layer.shape]
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


def _warnings(keys: Mapping[str, Key], embeddings: Mapping[str, Tensor]) -> Iterator[str]:
    dialects = Counter(key.dialect for key in keys.values())
    if len(dialects) > 1:
        counts = ", ".join(f"{name} ({count} keys)" for name, count in dialects.most_common())
        yield f"the file mixes the dialects {counts}"
    roots = {key.path.partition(".")[0] for key in keys.values() if not key.model}
    if roots & set(blocks.ROOTS) and roots & {"down_blocks", "mid_block", "up_blocks"}:
        yield "the file mixes block names of Stability and diffusers; diffusers drops the former"
    if embeddings:
        yield f"the file contains {len(embeddings)} learned embeddings"


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
