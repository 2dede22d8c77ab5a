"""Report on a LoRA file, including layers whose deltas need the base model; or comparison with a second file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor

from lorarar.formats.algorithms.layer import NeedsBase
from lorarar.formats.base_weights import BaseWeights
from lorarar.formats.dialects.cloneofsimo import LAYOUT_KEY
from lorarar.formats.identification import identify
from lorarar.formats.inspection.comparison import LoRAComparison, compare_files
from lorarar.formats.inspection.kinds import layer_kind, table_lines
from lorarar.formats.metadata import OWN, tag_frequencies, token_names, trigger_phrases
from lorarar.formats.reading import StoredLoRA, read_stored
from lorarar.formats.stored import StoredLayer
from lorarar.lora import LoRA, LowRank, block, delta_norm
from lorarar.lora.families import FAMILIES, find_families
from lorarar.storage import FormatError, printable

_DTYPES = {torch.float16: "fp16", torch.bfloat16: "bf16", torch.float32: "fp32", torch.float64: "fp64"}
# The fields of kohya's header that distinguish LoRAs. The header has about a hundred.
_KOHYA = """
    ss_output_name ss_base_model_version ss_sd_model_name ss_network_module ss_network_dim ss_network_alpha
    ss_network_args ss_v2 ss_num_train_images ss_num_epochs ss_epoch ss_max_train_steps ss_steps ss_unet_lr
    ss_text_encoder_lr ss_learning_rate ss_optimizer ss_lr_scheduler ss_resolution ss_clip_skip ss_noise_offset
    ss_min_snr_gamma ss_seed ss_training_comment
"""
_LISTED = frozenset(_KOHYA.split())
_UNLISTED = {"modelspec.thumbnail", f"{OWN}coefficients"}
_TOP_TAGS = 10
_LONGEST_VALUE = 100  # characters


@dataclass(frozen=True)
class Report:
    """Properties of a LoRA file as plain data.

    Attributes:
        file: Path of the file.
        bytes: Size of the file.
        sha256: SHA-256 of the file.
        dialect: Dialect of most keys.
        family: A key of `lorarar.lora.families.FAMILIES`, or "".
        family_label: Name of the family for display, "unknown" without a family.
        algorithms: "lora", "loha", .. -> number of stored layers.
        dtypes: Name of a dtype -> number of stored tensors.
        layers: Number of model layers that the LoRA changes.
        kinds: One entry for each kind of layer and shape: {"kind", "shape", "count"}.
        ranks: Rank -> number of stored layers.
        alphas: alpha -> number of stored layers; "none" without alpha, which means a scale of 1.
        alpha_sources: Where the alphas are from -> number of stored layers: "the tensors", "the header",
            "adapter_config.json".
        scales: Scale of the factors -> number of layers.
        norm: Frobenius norm of all deltas together, as far as they can be computed.
        norms: Block -> Frobenius norm of its layers.
        triggers: Trigger phrases of the concept; a guess if only tags are available.
        tags: Folder of training images -> its most frequent tags and their counts.
        embeddings: Names of the learned tokens.
        metadata: Fields of the header that this report lists.
        other_metadata: Names of all other fields of the header.
        warnings: Anomalies of the file.
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
    alpha_sources: Mapping[str, int]
    scales: Mapping[str, int]
    norm: float
    norms: Mapping[str, float]
    triggers: tuple[str, ...]
    tags: Mapping[str, Mapping[str, int]]
    embeddings: tuple[str, ...]
    metadata: Mapping[str, str]
    other_metadata: tuple[str, ...]
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return self.text()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Return the report as text."""
        return "\n".join(map(printable, _lines(self)))


@dataclass
class _Measured:
    """Properties of the deltas: shape, norm and scale by layer, and the stored layers that need the base model."""

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    norms: dict[str, float] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    need_base: list[str] = field(default_factory=list)


@overload
def inspect(path: str | Path, compare: None = None, base: str | Path | None = None) -> Report: ...


@overload
def inspect(path: str | Path, compare: str | Path, base: str | Path | None = None) -> LoRAComparison: ...


def inspect(
    path: str | Path, compare: str | Path | None = None, base: str | Path | None = None
) -> Report | LoRAComparison:
    """Report on a LoRA file of any supported dialect, or compare two.

    Args:
        path: A safetensors file, a folder with exactly one, or a hub id.
        compare: A second file, for where the two LoRAs collide.
        base: Folder or file of the base model, for the deltas of layers that need it (DoRA, IA3, OFT, GLoRA).

    Returns:
        The report, or the comparison; as text by `print`, as plain data by `to_dict()`.

    Raises:
        FormatError: A file is missing, damaged, not finite, incomplete, or of no supported dialect.
        ValueError: A layer has different shapes in the two LoRAs.
    """
    for given in (path, compare or ""):
        if not isinstance(given, str | Path):
            raise TypeError(
                f"expected the path or hub id of a LoRA file, found a {type(given).__name__}: `print` shows a LoRA in "
                "memory"
            )
    return compare_files(path, compare, base) if compare else _report(read_stored(path), base)


def _report(stored: StoredLoRA, base: str | Path | None) -> Report:
    measured, header = _measure(stored, BaseWeights(base) if base else None), stored.header
    family = stored.family
    if not family and not all(stored.shapes.values()):
        family = identify({stored.scheme: measured.shapes}, header).family
    factored = [layer for layer in stored.layers.values() if layer.rank is not None]
    listed = {key: value for key, value in sorted(header.items()) if _is_listed(key)}
    unlisted = sorted(key for key in header if key not in listed and not LAYOUT_KEY.fullmatch(key))
    tags = {folder: dict(list(counts.items())[:_TOP_TAGS]) for folder, counts in tag_frequencies(header).items()}
    return Report(
        file=str(stored.path),
        bytes=stored.path.stat().st_size,
        sha256=stored.sha256,
        dialect=stored.dialect,
        family=family,
        family_label=FAMILIES[family].label if family else "unknown",
        algorithms=_counted(stored.algorithms.values()),
        dtypes=_counted(_name(tensor.dtype) for tensor in _weights(stored)),
        layers=len(measured.shapes),
        kinds=_kinds(measured.shapes),
        ranks=_counted(layer.rank for layer in factored),
        alphas=_counted(_alpha(layer) for layer in factored),
        alpha_sources=_counted(
            "the tensors" if "alpha" in layer.parts else stored.alphas_from
            for layer in factored
            if layer.alpha is not None
        ),
        scales=_counted(f"{scale:g}" for scale in measured.scales.values()),
        norm=math.hypot(*measured.norms.values()),
        norms=_by_block(measured.norms),
        triggers=tuple(trigger_phrases(LoRA({}, header, embeddings=stored.embeddings))),
        tags=tags,
        embeddings=tuple(token_names(stored.embeddings)),
        metadata=listed,
        other_metadata=tuple(unlisted),
        warnings=(*stored.warnings, *_warnings(stored, measured, family)),
    )


def _measure(stored: StoredLoRA, base: BaseWeights | None) -> _Measured:
    measured = _Measured()
    for path, layer in stored.layers.items():
        try:
            deltas = layer.deltas(base.weight if base else None)
        except NeedsBase:
            measured.need_base.append(path)
            measured.shapes |= layer.divided_shapes()
            continue
        except ValueError as error:
            raise FormatError(f"{stored.path}, layer {path}: {error}") from error
        for name, delta in deltas.items():
            measured.shapes[name] = delta.shape
            measured.norms[name] = delta_norm(delta)
            if isinstance(delta, LowRank):
                measured.scales[name] = delta.scale
    return measured


def _by_block(norms: Mapping[str, float]) -> dict[str, float]:
    blocks: dict[str, list[float]] = {}
    for layer, value in norms.items():
        blocks.setdefault(block(layer), []).append(value)
    return {name: math.hypot(*values) for name, values in sorted(blocks.items())}


def _kinds(shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Any], ...]:
    counts = Counter((layer_kind(path), shape) for path, shape in shapes.items())
    return tuple(
        {"kind": name, "shape": list(shape), "count": count} for (name, shape), count in sorted(counts.items())
    )


def _counted(values: Iterable[object]) -> dict[str, int]:
    """Return each value as text -> its frequency, most frequent first."""
    return dict(Counter(map(str, values)).most_common())


def _is_listed(key: str) -> bool:
    return (key.startswith(("modelspec.", OWN)) or key in _LISTED) and key not in _UNLISTED


def _alpha(layer: StoredLayer) -> str:
    return "none" if layer.alpha is None else f"{layer.alpha:g}"


def _weights(stored: StoredLoRA) -> list[Tensor]:
    """Return all stored tensors except single numbers (alpha)."""
    return [tensor for layer in stored.layers.values() for tensor in layer.parts.values() if tensor.ndim]


def _name(dtype: torch.dtype) -> str:
    return _DTYPES.get(dtype, str(dtype).removeprefix("torch."))


def _warnings(stored: StoredLoRA, measured: _Measured, family: str) -> Iterator[str]:
    if measured.need_base:
        names = ", ".join(sorted({stored.layers[path].algorithm for path in measured.need_base}))
        yield f"{len(measured.need_base)} layers ({names}) need the base model's weights: give `base`"
    zero = [path for path, value in measured.norms.items() if not value]
    if zero:
        yield f"{len(zero)} of {len(measured.norms)} layers change nothing (their delta is zero), first {zero[0]}"
    if not family and not any("names kept" in warning for warning in stored.warnings):
        several = " or ".join(candidate.label for candidate in find_families(measured.shapes))
        yield f"unknown base model: the layers fit no supported family, or several{several and f' ({several})'}"
    coarse = sum(tensor.dtype.itemsize == 1 for tensor in _weights(stored))
    if coarse:
        yield f"{coarse} tensors have 8 bits: their weights have only one or two digits, in any output precision"


def _lines(report: Report) -> Iterator[str]:
    yield f"{report.file}: {report.bytes / 1e6:.1f} MB, {_counts(report.dtypes)}, sha256 {report.sha256[:12]}"
    facts = {
        "dialect": report.dialect,
        "family": report.family_label,
        "algorithm": _counts(report.algorithms),
        "rank": _counts(report.ranks),
        "alpha": _counts(report.alphas) + (f", from {_counts(report.alpha_sources)}" if report.alpha_sources else ""),
        "scale": _counts(report.scales),
        "triggers": ", ".join(report.triggers) or "unknown",
        "embeddings": ", ".join(report.embeddings) or "none",
    }
    yield from (f"  {name:<10}  {value}" for name, value in facts.items())
    yield f"{report.layers} layers"
    yield from table_lines([(entry["kind"], _shape(entry["shape"]), str(entry["count"])) for entry in report.kinds])
    yield f"norm of all deltas {report.norm:.4g}, by block"
    yield from table_lines([(name, f"{value:.4g}") for name, value in report.norms.items()] or [("unknown",)])
    for folder, tags in report.tags.items():
        yield f"tags of {folder}: " + ", ".join(f"{tag} ({count})" for tag, count in tags.items())
    for key, value in report.metadata.items():
        short = value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 3] + "..."
        yield f"{key}: {short}"
    if report.other_metadata:
        yield f"{len(report.other_metadata)} other fields in the header"
    yield from (f"warning: {warning}" for warning in report.warnings)


def _counts(counts: Mapping[str, int]) -> str:
    """Return the only value, or every value with its count."""
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({count})" for value, count in counts.items()) or "none"


def _shape(shape: list[int]) -> str:
    return " x ".join(map(str, shape)) or "unknown"
