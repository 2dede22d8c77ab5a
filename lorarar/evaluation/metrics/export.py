"""The files of a measurement: JSON for programs, CSV for spreadsheets, Markdown for people, plots for their eyes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorarar.datasets import Item, manifest_key
from lorarar.evaluation.metrics.encoders.protocols import Encoder
from lorarar.evaluation.metrics.plots import draw_group
from lorarar.evaluation.metrics.results import Group
from lorarar.evaluation.metrics.scoring import ImageScores, PairScores
from lorarar.evaluation.report.metric_names import FLAGS, METRICS
from lorarar.evaluation.report.metrics_section import FILE, LIMITATION
from lorarar.evaluation.report.numbers import DASH, show_estimate, show_number, show_rate
from lorarar.storage import lorarar_version, plain, write_csv, write_json, write_text

_NAMED = ("method", "content", "style", "prompt_type")


@dataclass(frozen=True)
class Measured:
    """All that was found out about some images.

    Attributes:
        items: with the hashes of their files.
        encoders: by part.
        groups: results of methods, by prompt type.
        not_measured: why, by metric; refused: why, by item's id (image) and by path (reference).
        threshold: the cosine above which an image counts as a copy of a reference; None where unknown.
        computed, cached: files that the content encoder encoded now, or that the cache had.
        seconds: wall time of encoding and scoring.
    """

    items: Sequence[Item]
    encoders: Mapping[str, Encoder]
    images: Sequence[ImageScores]
    pairs: Sequence[PairScores]
    groups: Sequence[Group]
    not_measured: Mapping[str, str]
    refused: Mapping[str, Mapping[str, str]]
    threshold: float | None
    computed: int
    cached: int
    seconds: float

    def describe(self) -> str:
        """A few lines for people."""
        refused = self.refused["image"]
        lines = [
            f"{len(self.images) - len(refused)} images scored, {len(refused)} refused, in {self.seconds:.1f} s "
            f"({self.computed} files encoded, {self.cached} from the cache)"
        ]
        lines += [f"refused {name}: {why}" for kind in self.refused.values() for name, why in sorted(kind.items())]
        return "\n".join(lines + [f"not measured: {METRICS[n].title}: {why}" for n, why in self.not_measured.items()])


def write_all(folder: Path, measured: Measured) -> str:
    """Writes metrics.json, metrics.csv, metrics.md and metrics_TYPE.svg; returns a few lines for people."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE, _json(measured), sort_keys=True)
    write_csv(folder / "metrics.csv", _rows(measured.images))
    write_text(folder / "metrics.md", _markdown(measured))
    for group in measured.groups:
        write_text(folder / f"metrics_{group.prompt_type}.svg", draw_group(group))
    return f"{measured.describe()}\n{folder / 'metrics.md'}"


def _json(measured: Measured) -> dict[str, Any]:
    """Equal inputs give equal bytes: no times, no dates."""
    data: dict[str, Any] = {
        "lorarar": lorarar_version(),
        "manifest": manifest_key(measured.items),
        "images": len(measured.images),
        "encoders": {
            part: {"name": encoder.name, "sha256": encoder.sha256, "resize": encoder.resize}
            for part, encoder in measured.encoders.items()
        },
        "copy_threshold": measured.threshold,
        "refused": measured.refused,
        "not_measured": measured.not_measured,
        "groups": measured.groups,
        "pairs": measured.pairs,
    }
    return data


def _rows(images: Sequence[ImageScores]) -> Iterator[list[str | int | float | None]]:
    of_images = [name for name, metric in METRICS.items() if not metric.whole]
    yield ["item", "path", *_NAMED, "seed", "prompt", "refused", *of_images, *FLAGS]
    for image in images:
        item = image.item
        named: list[str | int] = [item.id, item.path, *(getattr(item, name) for name in _NAMED), item.seed]
        values = [plain(image.values.get(name)) for name in of_images]
        flags = [int(image.flags[name]) if name in image.flags else None for name in FLAGS]
        yield [*named, item.prompt, image.refused, *values, *flags]


def _markdown(measured: Measured) -> str:
    lines = ["# Metrics", "", LIMITATION, ""]
    for group in measured.groups:
        lines += [f"## Prompt type: {_cell(group.prompt_type)}", "", f"Intervals (95 %) cover {group.covers}.", ""]
        lines += [*_scores(group), "", *_ranks(group), "", *_flags(group), "", *_classes(group), ""]
    if measured.not_measured:
        rows = [(METRICS[name].title, why) for name, why in measured.not_measured.items()]
        lines += [*_table(("not measured", "why"), rows), ""]
    refused = [(kind, name, why) for kind, found in measured.refused.items() for name, why in sorted(found.items())]
    lines += [*_table(("refused", "which", "why"), refused), ""] if refused else []
    seen = [(part, e.name, e.resize, f"`{e.sha256}`") for part, e in measured.encoders.items()]
    return "\n".join([*lines, *_table(("part", "encoder", "resizing", "SHA-256 of its weights"), seen)]) + "\n"


def _scores(group: Group) -> list[str]:
    header = ("method", "images", *(f"{metric.title} ({metric.better})" for metric in METRICS.values()))
    rows = [
        (m.method, str(m.images), *(show_estimate(m.scores[n], about.form) for n, about in METRICS.items()))
        for m in group.methods
    ]
    return _table(header, rows)


def _ranks(group: Group) -> list[str]:
    ranked = [method for method in group.methods if method.ranks]
    rows = [(m.method, *(show_number(m.ranks[name].overall) for name in METRICS)) for m in ranked]
    return _table(("mean rank, 1 is best", *(metric.title for metric in METRICS.values())), rows)


def _classes(group: Group) -> list[str]:
    rows = [
        (method.method, name, *(_number(values[metric], about.form) for metric, about in METRICS.items()))
        for method in group.methods
        for name, values in method.classes.items()
    ]
    return _table(("method", "class", *(metric.title for metric in METRICS.values())), rows)


def _flags(group: Group) -> list[str]:
    rows = [(m.method, *(show_rate(m.flags[name]) for name in FLAGS)) for m in group.methods]
    return _table(("flagged images", *(f"{name}: {text}" for name, text in FLAGS.items())), rows)


def _number(value: float, form: str) -> str:
    return DASH if math.isnan(value) else format(value, form)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(header), _line(["---"] * len(header)), *map(_line, rows)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Text that cannot leave its cell or become markup."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
