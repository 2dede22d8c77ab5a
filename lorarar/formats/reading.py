"""From a file's keys to its layers: which dialect, which layers, which algorithm, which base model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lorarar.formats.algorithms.roles import algorithm_of
from lorarar.formats.dialects import peft
from lorarar.formats.dialects.grouping import group_keys, parse_all, rows_in, scheme_in
from lorarar.formats.embeddings import is_embedding
from lorarar.formats.naming import blocks
from lorarar.formats.naming.keys import Key
from lorarar.formats.naming.originals import scheme_fits
from lorarar.formats.naming.rows import Rows
from lorarar.formats.scaling import (
    AdapterConfig,
    config_for,
    configs_from_header,
    scaling_from_config,
    scaling_from_header,
)
from lorarar.formats.stored import MATRICES, StoredLayer
from lorarar.formats.tensor_files import read_tensor_file
from lorarar.lora.families import FAMILIES, choose_family, find_families
from lorarar.storage import FormatError

_SHOWN = 3


@dataclass(frozen=True, eq=False)
class StoredLoRA:
    """What a LoRA file holds, also where its deltas cannot be computed without the base model.

    Args:
        path: The file.
        dialect: Whose layout the keys are in.
        family: A key of `lorarar.lora.families.FAMILIES`, or "".
        layers: Path of each stored layer -> what is stored. A fused projection is one layer here, under its first path.
        embeddings: Key -> learned token.
        header: The file's metadata.
        sha256: The file's SHA-256, 64 hexadecimal digits.
        warnings: What is odd about the file.
    """

    path: Path
    dialect: str
    family: str
    layers: Mapping[str, StoredLayer]
    embeddings: Mapping[str, Tensor]
    header: Mapping[str, str]
    sha256: str
    warnings: tuple[str, ...] = ()

    @property
    def algorithms(self) -> dict[str, str]:
        """Layer path -> "lora", "loha", "dora", ..."""
        return {path: stored.algorithm for path, stored in self.layers.items()}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Layer path -> shape of the stored delta, (out, in) or (n,); () where the parts do not say it."""
        return {path: stored.shape for path, stored in self.layers.items()}

    @property
    def ranks(self) -> dict[str, int | None]:
        """Layer path -> rank of the stored factors; None where there are none."""
        return {path: stored.rank for path, stored in self.layers.items()}

    @property
    def alphas(self) -> dict[str, float | None]:
        """Layer path -> alpha as the file or its configuration gives it; None where neither does."""
        return {path: stored.alpha for path, stored in self.layers.items()}


def read_stored(path: str | Path) -> StoredLoRA:
    """Reads what a LoRA file holds, of any known dialect, without computing deltas.

    Args:
        path: A safetensors file, or a folder that holds exactly one.

    Raises:
        FormatError: The file is missing, damaged, not finite, of no known dialect, or incomplete.
    """
    path = weights_file(Path(path))
    file = read_tensor_file(path)
    try:
        embeddings = {key: tensor for key, tensor in file.tensors.items() if is_embedding(key)}
        keys = parse_all([key for key in file.tensors if key not in embeddings], file.header)
        configs = configs_from_header(file.header) or peft.read_config(path)
        layers = _stored(keys, rows_in(keys), file.tensors, file.header, configs)
        family = _family(keys, layers, file.header)
    except ValueError as error:
        raise FormatError(f"{path}: {error}") from error
    dialect = Counter(key.dialect for key in keys.values()).most_common(1)[0][0]
    return StoredLoRA(
        path, dialect, family, layers, embeddings, file.header, file.sha256, tuple(_warnings(keys, embeddings))
    )


def _stored(
    keys: Mapping[str, Key],
    rows: Mapping[tuple[str, str], Rows],
    tensors: Mapping[str, Tensor],
    header: Mapping[str, str],
    configs: Mapping[str, AdapterConfig],
) -> dict[str, StoredLayer]:
    """First path of each stored layer -> what is stored."""
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
        if config and config.get("use_dora") and name != "dora":
            raise ValueError(f"layer {path}: the configuration says DoRA, and there are no magnitudes: save it again")
        scaling = default if config is None else scaling_from_config(config, inner)
        layers[path] = StoredLayer(rows[place], _parts(path, roles, tensors), name, scaling)
    if wrong:
        raise ValueError(
            f"{len(wrong)} of {len(wrong) + len(layers)} layers lack a part or have one too many, first "
            f"{wrong[:_SHOWN]}: the file is incomplete, save or download it again"
        )
    return layers


def _parts(path: str, roles: Mapping[str, str], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parts = {role: tensors[key] for role, key in roles.items()}
    bad = [roles[role] for role, part in parts.items() if not part.numel() or (role in MATRICES and part.ndim < 2)]
    if bad:
        raise ValueError(f"layer {path}: {bad} are empty, or no matrices: the file is damaged, save it again")
    return parts


def _family(keys: Mapping[str, Key], layers: Mapping[str, StoredLayer], header: Mapping[str, str]) -> str:
    shapes = {path: shape for stored in layers.values() for path, shape in stored.divided().items()}
    layout = scheme_in(keys)
    found = [family for family in find_families(shapes) if scheme_fits(layout, family.key)]
    family, possible = choose_family(found, header), [family for family in found if family.sgm]
    if layout != "sgm":
        return family
    if not possible:
        known = [family.label for family in FAMILIES.values() if family.sgm]
        raise ValueError(
            f"the file names blocks by Stability's numbers (input_blocks, ...), and its layers are not those of "
            f"{known}, whose numbering is known: convert it to diffusers' names with a tool of its model"
        )
    # Trainers use these names for SDXL; those of older models are named by diffusers.
    return family or next((other.key for other in possible if other.key == "sdxl"), "")


def _warnings(keys: Mapping[str, Key], embeddings: Mapping[str, Tensor]) -> Iterator[str]:
    dialects = Counter(key.dialect for key in keys.values())
    if len(dialects) > 1:
        counts = ", ".join(f"{name} ({count} keys)" for name, count in dialects.most_common())
        yield f"the file mixes the layouts of {counts}"
    roots = {key.path.partition(".")[0] for key in keys.values() if not key.model}
    if roots & set(blocks.ROOTS) and roots & {"down_blocks", "mid_block", "up_blocks"}:
        yield "the file mixes block names of Stability and diffusers; diffusers itself would drop the former"
    if embeddings:
        yield f"the file holds {len(embeddings)} learned embeddings, which are written beside a result"


def weights_file(path: Path) -> Path:
    """The file itself, or the only safetensors file in a folder.

    Raises:
        FormatError: The folder holds none, or several.
    """
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.safetensors"))
    if len(found) != 1:
        names = [file.name for file in found]
        raise FormatError(f"{path} is a folder with {len(found)} safetensors files {names[:3]}: give the file itself")
    return found[0]
