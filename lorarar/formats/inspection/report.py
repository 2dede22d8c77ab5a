"""What a LoRA file holds, also where its deltas need the base model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lorarar.formats.algorithms.layer import NeedsBase
from lorarar.formats.base_weights import BaseWeights
from lorarar.formats.dialects.cloneofsimo import LAYOUT_KEY
from lorarar.formats.inspection.kinds import layer_kind, table_lines
from lorarar.formats.metadata import OWN, tag_frequencies, token_names, trigger_phrases
from lorarar.formats.reading import StoredLoRA, read_stored
from lorarar.formats.stored import StoredLayer
from lorarar.lora import Layer, LoRA, LowRank, block, norm
from lorarar.lora.families import FAMILIES, detect_family
from lorarar.storage import FormatError

_DTYPES = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32", torch.float64: "fp64"}
# Of kohya's hundred fields, those that tell one LoRA from another.
_KOHYA = """
    ss_output_name ss_base_model_version ss_sd_model_name ss_network_module ss_network_dim ss_network_alpha
    ss_network_args ss_v2 ss_num_train_images ss_num_epochs ss_epoch ss_max_train_steps ss_steps ss_unet_lr
    ss_text_encoder_lr ss_learning_rate ss_optimizer ss_lr_scheduler ss_resolution ss_clip_skip ss_noise_offset
    ss_min_snr_gamma ss_seed ss_training_comment
"""
_KNOWN = frozenset(_KOHYA.split())
_HIDDEN = {"modelspec.thumbnail", f"{OWN}coefficients"}
_TOP_TAGS = 10
_LINE = 100


@dataclass(frozen=True)
class Report:
    """A LoRA file in plain data.

    Args:
        file: Its path.
        bytes: Its size.
        sha256: Of the whole file.
        dialect: Whose layout its keys are in.
        family: A key of `lorarar.lora.families.FAMILIES`, or "".
        family_label: What people call the family, "unknown" where there is none.
        algorithms: "lora", "loha", .. -> how many stored layers are of it.
        dtypes: Name of a type of number -> how many stored tensors are of it.
        layers: How many layers of the model it changes.
        kinds: One entry for each kind of layer and shape: {"kind", "shape", "count"}.
        ranks: Rank -> how many stored layers have it.
        alphas: alpha, "none" where there is none (then the scale is 1) -> how many stored layers have it.
        scales: Scale of the factors -> how many layers have it.
        norm: Frobenius norm of all deltas together, as far as they can be computed.
        norms: Block -> the same of its layers.
        triggers: Phrases that bring its concept into a prompt; a guess where only tags are known.
        tags: Folder of training images -> its commonest tags and their counts.
        embeddings: Learned tokens that it brings.
        metadata: Known fields of the header.
        other_metadata: Names of the header's further fields.
        warnings: What is odd about it.
    """

    file: str
    bytes: int
    sha256: str
    dialect: str
    family: str
    family_label: str
    algorithms: Mapping[str, int]
    dtypes: Mapping[str, int]
    layers: int
    kinds: tuple[Mapping[str, Any], ...]
    ranks: Mapping[str, int]
    alphas: Mapping[str, int]
    scales: Mapping[str, int]
    norm: float
    norms: Mapping[str, float]
    triggers: tuple[str, ...]
    tags: Mapping[str, Mapping[str, int]]
    embeddings: tuple[str, ...]
    metadata: Mapping[str, str]
    other_metadata: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain data, fit for JSON."""
        return asdict(self)

    def text(self) -> str:
        """The same for people."""
        return "\n".join(_lines(self))


@dataclass
class _Measured:
    """What only the deltas tell: shape, norm and scale by layer; which stored layers need the base."""

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    norms: dict[str, float] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)


def inspect(path: str | Path, base: str | Path | None = None) -> Report:
    """Describes a LoRA file of any known dialect.

    Args:
        path: A safetensors file, or a folder that holds exactly one.
        base: The base model's folder or file, for the norms of layers that need it (DoRA, IA3, OFT, GLoRA).

    Raises:
        FormatError: The file is missing, damaged, not finite, of no known dialect, or incomplete.
    """
    contents = read_stored(path)
    found, header = _measured(contents, BaseWeights(base) if base else None), contents.header
    family = contents.family or detect_family(found.shapes, header)
    stored = contents.layers.values()
    shown = {key: value for key, value in sorted(header.items()) if _is_known(key)}
    other = sorted(key for key in header if key not in shown and not LAYOUT_KEY.fullmatch(key))
    return Report(
        file=str(contents.path),
        bytes=contents.path.stat().st_size,
        sha256=contents.sha256,
        dialect=contents.dialect,
        family=family,
        family_label=FAMILIES[family].label if family else "unknown",
        algorithms=_counted(contents.algorithms.values()),
        dtypes=_counted(_name(tensor.dtype) for tensor in _weights(contents)),
        layers=len(found.shapes),
        kinds=_kinds(found.shapes),
        ranks=_counted(layer.rank for layer in stored if layer.rank is not None),
        alphas=_counted(_alpha(layer) for layer in stored if layer.rank is not None),
        scales=_counted(f"{scale:g}" for scale in found.scales.values()),
        norm=math.hypot(*found.norms.values()),
        norms=_by_block(found.norms),
        triggers=tuple(trigger_phrases(LoRA({}, header, embeddings=contents.embeddings))),
        tags={folder: dict(list(tags.items())[:_TOP_TAGS]) for folder, tags in tag_frequencies(header).items()},
        embeddings=tuple(token_names(contents.embeddings)),
        metadata=shown,
        other_metadata=tuple(other),
        warnings=(*contents.warnings, *_warnings(contents, found, family)),
    )


def _measured(contents: StoredLoRA, base: BaseWeights | None) -> _Measured:
    found = _Measured()
    for path, stored in contents.layers.items():
        try:
            deltas = stored.deltas(base.weight if base else None)
        except NeedsBase:
            found.waiting.append(path)
            found.shapes |= stored.divided()
            continue
        except ValueError as error:
            raise FormatError(f"{contents.path}, layer {path}: {error}") from error
        found.shapes |= {layer: delta.shape for layer, delta in deltas.items()}
        found.norms |= {layer: _norm(delta) for layer, delta in deltas.items()}
        found.scales |= {layer: delta.scale for layer, delta in deltas.items() if isinstance(delta, LowRank)}
    return found


def _by_block(norms: Mapping[str, float]) -> dict[str, float]:
    blocks: dict[str, list[float]] = {}
    for layer, value in norms.items():
        blocks.setdefault(block(layer), []).append(value)
    return {name: math.hypot(*values) for name, values in sorted(blocks.items())}


def _norm(delta: Layer) -> float:
    return float(norm(delta) if isinstance(delta, LowRank) else delta.delta().norm())


def _kinds(shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Any], ...]:
    counts = Counter((layer_kind(path), shape) for path, shape in shapes.items())
    return tuple(
        {"kind": name, "shape": list(shape), "count": count} for (name, shape), count in sorted(counts.items())
    )


def _counted(values: Iterable[object]) -> dict[str, int]:
    """Value as text -> how often it occurs, the commonest first."""
    return dict(Counter(map(str, values)).most_common())


def _is_known(key: str) -> bool:
    return (key.startswith(("modelspec.", OWN)) or key in _KNOWN) and key not in _HIDDEN


def _alpha(layer: StoredLayer) -> str:
    return "none" if layer.alpha is None else f"{layer.alpha:g}"


def _weights(contents: StoredLoRA) -> list[Tensor]:
    """All stored tensors but single numbers (alpha)."""
    return [tensor for layer in contents.layers.values() for tensor in layer.parts.values() if tensor.ndim]


def _name(dtype: torch.dtype) -> str:
    return _DTYPES.get(dtype, str(dtype).removeprefix("torch."))


def _warnings(contents: StoredLoRA, found: _Measured, family: str) -> Iterator[str]:
    if found.waiting:
        names = ", ".join(sorted({contents.layers[path].algorithm for path in found.waiting}))
        yield f"{len(found.waiting)} layers ({names}) need the base model's weights: give --base MODEL"
    zero = [path for path, value in found.norms.items() if not value]
    if zero:
        yield f"{len(zero)} of {len(found.norms)} layers change nothing (their delta is zero), first {zero[0]}"
    if not family:
        yield "its base model cannot be told: the layers fit none that is known here, or several"
    coarse = sum(tensor.dtype.itemsize == 1 for tensor in _weights(contents))
    if coarse:
        yield f"{coarse} tensors are of 8 bits: their weights have one or two digits, whatever a result is written in"


def _lines(report: Report) -> Iterator[str]:
    yield f"{report.file}: {report.bytes / 1e6:.1f} MB, {_counts(report.dtypes)}, sha256 {report.sha256[:12]}"
    facts = {
        "dialect": report.dialect,
        "family": report.family_label,
        "algorithm": _counts(report.algorithms),
        "rank": _counts(report.ranks),
        "alpha": _counts(report.alphas),
        "scale": _counts(report.scales),
        "triggers": ", ".join(report.triggers) or "none known",
        "embeddings": ", ".join(report.embeddings) or "none",
    }
    yield from (f"  {name:<10}  {value}" for name, value in facts.items())
    yield f"{report.layers} layers"
    yield from table_lines([(entry["kind"], _shape(entry["shape"]), str(entry["count"])) for entry in report.kinds])
    yield f"norms of the deltas, all together {report.norm:.4g}"
    yield from table_lines([(name, f"{value:.4g}") for name, value in report.norms.items()] or [("none known",)])
    for folder, tags in report.tags.items():
        yield f"tags of {folder}: " + ", ".join(f"{tag} ({count})" for tag, count in tags.items())
    for key, value in report.metadata.items():
        yield f"{key}: {value if len(value) <= _LINE else value[: _LINE - 3] + '...'}"
    if report.other_metadata:
        yield f"and {len(report.other_metadata)} other fields in the header"
    yield from (f"warning: {warning}" for warning in report.warnings)


def _counts(counts: Mapping[str, int]) -> str:
    """The only value, or every value with its count."""
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({count})" for value, count in counts.items()) or "none"


def _shape(shape: list[int]) -> str:
    return " x ".join(map(str, shape)) or "unknown"
