"""Export of a measurement: metrics.json, metrics.csv, metrics.md and one plot per prompt type."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorarar.datasets import Item, manifest_key
from lorarar.evaluation.metrics.encoders.loading import ENCODERS
from lorarar.evaluation.metrics.encoders.protocols import VisionEncoder
from lorarar.evaluation.metrics.encoding import describe_cut
from lorarar.evaluation.metrics.results import PromptTypeResults
from lorarar.evaluation.metrics.scoring import ImageScores, PairScores
from lorarar.evaluation.metrics.table import METRICS
from lorarar.evaluation.metrics.unlike import UnlikeImages
from lorarar.evaluation.report.flag_names import FLAGS
from lorarar.evaluation.report.metrics_section import METRICS_FILE, METRICS_LIMITATION
from lorarar.evaluation.report.tables import DASH, show_estimate, show_number, show_rate
from lorarar.storage import lorarar_version, plain, write_csv, write_json, write_text

_LABELS = ("method", "content", "style", "prompt_type")


@dataclass(frozen=True)
class Measurement:
    """The scores of some images and the results of their methods.

    Attributes:
        items: The images, with the hashes of their files.
        encoders: The encoders, by part.
        images: Scores of the images.
        pairs: Scores of the pairs.
        groups: Results of the methods, by prompt type.
        not_measured: The reason for each metric that was not measured.
        refused: Reasons by item id ("image") and by path ("reference").
        threshold: Cosine above which an image counts as a copy of a reference; None where it is unknown.
        unlike: Images and references unlike those that an encoder knows, by its name, see `unlike.count_unlike`.
        cut_prompts: Number of different prompts that are longer than the text encoder reads.
        computed: Number of files that the content encoder encoded.
        cached: Number of files whose features came from the cache.
        seconds: Wall time of encoding and scoring.
    """

    items: Sequence[Item]
    encoders: Mapping[str, VisionEncoder]
    images: Sequence[ImageScores]
    pairs: Sequence[PairScores]
    groups: Sequence[PromptTypeResults]
    not_measured: Mapping[str, str]
    refused: Mapping[str, Mapping[str, str]]
    threshold: float | None
    unlike: Mapping[str, Mapping[str, UnlikeImages]]
    cut_prompts: int
    computed: int
    cached: int
    seconds: float

    def describe(self) -> str:
        """Return a few lines of text: counts, refusals and gaps."""
        refused = self.refused["image"]
        lines = [
            f"{len(self.images) - len(refused)} images scored, {len(refused)} refused, in {self.seconds:.1f} s "
            f"({self.computed} files encoded, {self.cached} from the cache)"
        ]
        lines.append(f"encoders: {self.describe_encoders()}")
        lines += self.notes()
        lines += [f"refused {name}: {reason}" for _, name, reason in self.refusals()]
        lines += [f"not measured: {METRICS[name].title}: {reason}" for name, reason in self.not_measured.items()]
        return "\n".join(lines)

    def describe_encoders(self) -> str:
        """Return the encoder of each part with the beginning of its hash: "content, style: tower (4f0c1f2a)"."""
        parts: dict[str, list[str]] = {}
        for part, encoder in self.encoders.items():
            parts.setdefault(f"{encoder.name} ({encoder.sha256[:8]})", []).append(part)
        return "; ".join(f"{', '.join(names)}: {encoder}" for encoder, names in parts.items())

    def notes(self) -> list[str]:
        """Return what limits the numbers: images unlike those that an encoder knows, prompts that were cut."""
        notes = [
            f"{counted} {of_set} are unlike those that the encoder {name!r} knows: its numbers mean little"
            for name, sets in self.unlike.items()
            for of_set, counted in sets.items()
            if counted.are_most
        ]
        return [*notes, *filter(None, [describe_cut(self.cut_prompts, self.encoders.get("text"))])]

    def refusals(self) -> Iterator[tuple[str, str, str]]:
        """Yield kind ("image" or "reference"), name and reason of everything that was refused."""
        for kind, reasons in self.refused.items():
            for name, reason in sorted(reasons.items()):
                yield kind, name, reason


def write_measurement(folder: Path, measurement: Measurement) -> str:
    """Write metrics.json, metrics.csv, metrics.md and metrics_TYPE.svg.

    Returns:
        A few lines of text with the path of metrics.md.
    """
    from lorarar.evaluation.metrics.plots import plot_svg  # loads matplotlib, which reading results does not need

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / METRICS_FILE, _json(measurement), sort_keys=True)
    write_csv(folder / "metrics.csv", _rows(measurement))
    write_text(folder / "metrics.md", _markdown(measurement))
    for group in measurement.groups:
        write_text(folder / f"metrics_{group.prompt_type}.svg", plot_svg(group, measurement.describe_encoders()))
    return f"{measurement.describe()}\n{folder / 'metrics.md'}"


def _json(measurement: Measurement) -> dict[str, Any]:
    """Return the content of metrics.json. It holds no times and no dates, so that equal inputs give equal bytes."""
    return {
        "lorarar": lorarar_version(),
        "manifest": manifest_key(measurement.items),
        "images": len(measurement.images),
        "encoders": {
            part: {"name": encoder.name, "sha256": encoder.sha256, "resize": encoder.resize}
            for part, encoder in measurement.encoders.items()
        },
        "metrics": [
            {"name": name, "title": metric.title, "better": metric.better, "form": metric.form}
            for name, metric in METRICS.items()
        ],
        "plugins": _plugins(measurement),
        "copy_threshold": measurement.threshold,
        "unlike": measurement.unlike,
        "cut_prompts": measurement.cut_prompts,
        "notes": measurement.notes(),
        "refused": measurement.refused,
        "not_measured": measurement.not_measured,
        "groups": measurement.groups,
        "pairs": measurement.pairs,
    }


def _plugins(measurement: Measurement) -> dict[str, str]:
    """Return the plugins that had a part in a measurement, each with its SHA-256."""
    return METRICS.plugins(METRICS) | ENCODERS.plugins(encoder.name for encoder in measurement.encoders.values())


def _rows(measurement: Measurement) -> Iterator[list[str | int | float | None]]:
    """Yield the rows of metrics.csv: a header, then one row per image."""
    metrics = [name for name, metric in METRICS.items() if not metric.whole]
    yield ["item", "path", *_LABELS, "seed", "prompt", "refused", *metrics, *FLAGS, "encoders"]
    encoders = measurement.describe_encoders()
    for image in measurement.images:
        item = image.item
        labels: list[str | int] = [item.id, item.path, *(getattr(item, name) for name in _LABELS), item.seed]
        values = [plain(image.values.get(name)) for name in metrics]
        flags = [int(image.flags[name]) if name in image.flags else None for name in FLAGS]
        yield [*labels, item.prompt, image.refused, *values, *flags, encoders]


def _markdown(measurement: Measurement) -> str:
    lines = ["# Metrics", "", METRICS_LIMITATION, "", f"Encoders: {_cell(measurement.describe_encoders())}.", ""]
    for note in measurement.notes():
        lines += [f"**{_cell(note)}**", ""]
    for group in measurement.groups:
        lines += [f"## Prompt type: {_cell(group.prompt_type)}", "", f"Intervals (95 %) cover {group.covers}.", ""]
        lines += [*_scores(group), "", *_ranks(group), "", *_flags(group), "", *_classes(group), ""]
    if measurement.not_measured:
        gaps = [(METRICS[name].title, reason) for name, reason in measurement.not_measured.items()]
        lines += [*_table(("not measured", "why"), gaps), ""]
    if refusals := list(measurement.refusals()):
        lines += [*_table(("refused", "which", "why"), refusals), ""]
    encoders = [(part, e.name, e.resize, f"`{e.sha256}`") for part, e in measurement.encoders.items()]
    lines += _table(("part", "encoder", "resizing", "SHA-256 of its weights"), encoders)
    if plugins := [(name, f"`{sha256}`") for name, sha256 in _plugins(measurement).items()]:
        lines += ["", *_table(("plugin", "SHA-256"), plugins)]
    return "\n".join(lines) + "\n"


def _scores(group: PromptTypeResults) -> list[str]:
    header = ("method", "images", *(f"{metric.title} ({metric.better})" for metric in METRICS.values()))
    rows = []
    for result in group.methods:
        cells = [show_estimate(result.scores[name], metric.form) for name, metric in METRICS.items()]
        rows.append((result.method, str(result.images), *cells))
    return _table(header, rows)


def _ranks(group: PromptTypeResults) -> list[str]:
    rows = [
        (result.method, *(show_number(result.rank_scores[name].overall) for name in METRICS))
        for result in group.methods
        if result.rank_scores
    ]
    return _table(("rank score, 1 is best", *(metric.title for metric in METRICS.values())), rows)


def _classes(group: PromptTypeResults) -> list[str]:
    rows = []
    for result in group.methods:
        for name, values in result.classes.items():
            cells = [_number(values[metric], definition.form) for metric, definition in METRICS.items()]
            rows.append((result.method, name, *cells))
    return _table(("method", "class", *(metric.title for metric in METRICS.values())), rows)


def _flags(group: PromptTypeResults) -> list[str]:
    rows = [(result.method, *(show_rate(result.flags[name]) for name in FLAGS)) for result in group.methods]
    return _table(("flagged images", *(f"{name}: {text}" for name, text in FLAGS.items())), rows)


def _number(value: float, form: str) -> str:
    return DASH if math.isnan(value) else format(value, form)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(header), _line(["---"] * len(header)), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Escape text, so that it cannot leave its cell or become markup."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
