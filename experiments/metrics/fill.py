"""Put the results into the tables of the two READMEs: python experiments/metrics/fill.py, the last line of run.sh.

A table stands between the lines <!-- NAME --> and <!-- /NAME -->; the words around it are written by hand. Results of
another base, other LoRAs or another judge than the shipped ones are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agreement import HERE, TRUTHS, TYPES, about, show, sources

from lorarar.evaluation.metrics import DIVERSITIES, effects_table, measure_effects, read_table
from lorarar.evaluation.metrics.encoders import load_encoder

MAIN = Path("README.md")
FACTORS = ("rank", "steps", "rate", "images")
AGREEMENT = (
    "content cosine, tower",
    "content cosine, pixels",
    "content judge",
    "style cosine, tower",
    "style Gram, tower",
    "style cosine, pixels",
    "style judge",
    "harmonic mean, tower",
    "base preservation, tower",
    "joint judge",
)
STUDY = (
    "content reader, train",
    "content fidelity, train",
    "content diversity, train",
    "content rest as asked",
    "content base Gram loss, alter",
    "style reader, train",
    "style fidelity, train",
    "style style Gram loss, train",
    "style base Gram loss, alter",
    "pair reader, content",
    "pair reader, style",
    "pair reader, joint",
)


def read(name: str) -> Any:
    """A result of this folder."""
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines).replace("| --- ", "|---").replace("--- |", "---|")


def rates() -> str:
    """How fast the tower sees."""
    found = read("rate")
    rows = [
        (name, f"{r['seconds']:.1f}", f"{r['processor_seconds']:.1f}", f"{r['images_a_second']:.0f}")
        for name, r in found["rates"].items()
    ]
    return table((f"{found['images']:,} images of", "seconds", "of a core", "images a second"), rows)


def encoders() -> str:
    """What each encoder sees."""
    rows = []
    for one in read("encoders"):
        ratios = [[one["probe"]["ratios"][axis][d]["value"] for axis in ("content", "style")] for d in DIVERSITIES]
        rows.append(
            (one["encoder"], *(" / ".join(f"{value:.2f}" for value in pair) for pair in ratios), one["verdict"])
        )
    return table(("encoder", *DIVERSITIES, "sees"), rows)


def faults() -> str:
    """What the default encoder says of renders with known faults."""
    named = {"right": "right", "leaked": "content leaked from the style", "unstylised": "no style"}
    found, rows = read("faults")["tower"]["images"], []
    for method, name in named.items():
        scores = [
            f"{found[method]['scores'][key]['mean']:.2f}" for key in ("content_cosine", "style_cosine", "harmonic")
        ]
        flags = [found[method]["flags"][key] for key in ("content_leak", "copy", "unstylised")]
        rows.append((name, *scores, *(f"{flag['successes'] / flag['total']:.0%}" for flag in flags)))
    header = ("renders", "content cosine", "style cosine", "harmonic mean", "`content_leak`", "`copy`", "`unstylised`")
    return table(header, rows)


def agreement(over: str, names: Sequence[str] = AGREEMENT) -> str:
    """Correlations with the truth that a metric is about, over "all" images or "within_pairs"."""
    found = read("agreement")["correlations"]
    rows = [
        (name, about(name), *(show(found[kind].get(name, {}).get(about(name), {}).get(over)) for kind in TYPES))
        for name in names
    ]
    return table(("metric", "truth", *TYPES), rows)


def leaning() -> str:
    """Of the cosines: their correlation with the truth that they are not about, trained prompts."""
    found = read("agreement")["correlations"]["train"]
    names = [name for name in AGREEMENT if name.split(",")[0].split()[0] in ("content", "style")]
    rows = [(name, *(show(found[name][truth]["all"]) for truth in TRUTHS)) for name in names if name in found]
    return table(("metric", *TRUTHS), rows)


def study() -> str:
    """Exact effects of the most telling criteria."""
    return effects_table(measure_effects(read_table(HERE / "study.csv", FACTORS, STUDY)))


def stale() -> list[str]:
    """Which results are of another base, LoRAs or judge than the shipped; the network is one of six methods only."""
    tower = load_encoder("tower").sha256
    towers = {
        "encoders.json": next(one["sha256"] for one in read("encoders") if one["encoder"] == "tower"),
        "faults.json": read("faults")["tower"]["sha256"],
        "agreement.json": read("agreement")["encoders"]["tower"],
        "study.json": read("study")["tower"],
    }
    wrong = {name for name, sha256 in towers.items() if sha256 != tower}
    then, now = read("agreement")["sources"], sources()
    return sorted(wrong | {"agreement.json" for name in ("base", "loras", "judge") if then[name] != now[name]})


def fill(path: Path, tables: Mapping[str, str]) -> None:
    """Puts tables between their marks.

    Raises:
        ValueError: a mark is missing.
    """
    text = path.read_text(encoding="utf-8")
    for name, found in tables.items():
        text, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
            lambda m, found=found: f"{m[1]}{found}\n{m[2]}",
            text,
            flags=re.S,
        )
        if count != 1:
            raise ValueError(f"expected one place <!-- {name} --> .. <!-- /{name} --> in {path}, found {count}")
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Fills both READMEs."""
    if wrong := stale():
        raise SystemExit(f"{wrong} are not of the shipped artefacts: run experiments/metrics/run.sh")
    default = [name for name in AGREEMENT if "pixels" not in name]
    fill(MAIN, {"faults": faults(), "agreement": agreement("all", default)})
    correlations = {"agreement": agreement("all"), "within": agreement("within_pairs"), "leaning": leaning()}
    others = {"rates": rates(), "encoders": encoders(), "faults": faults(), "study": study()}
    fill(HERE / "README.md", correlations | others)


if __name__ == "__main__":
    main()
