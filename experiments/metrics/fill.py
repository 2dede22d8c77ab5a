"""Tables of README.md here and of docs/results/instruments.md: the last line of run.sh fills them with the results.

A table stands between the lines <!-- NAME --> and <!-- /NAME -->; the text around it is written by hand. The script
refuses results that belong to another base, other LoRAs or another judge than the shipped ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agreement import HERE, sources
from correlations import TRUTHS, show_correlation, truth_of
from effects import effects_table, measure_effects, read_table
from probe import DIVERSITIES

from lorarar.datasets import TYPES
from lorarar.evaluation.metrics.encoders import load_encoder

MAIN = Path("docs/results/instruments.md")
# First digits of hashes, by file and by card: the judge's weights of 2026-11-24 -> those of 2026-11-28. They differ in
# one row alone, the embedding of the token that ends an answer: the tower and the logits of yes and no are the same.
EQUAL = {"c05ff2bdb8f42411": "d7c02366d87e3996", "339ec2aa64f258aa": "f02c910cba2bba62"}
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
    """Read a result of this folder."""
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines).replace("| --- ", "|---").replace("--- |", "---|")


def rates() -> str:
    """Return the speed of the tower."""
    results = read("rate")
    rows = [
        (name, f"{r['seconds']:.1f}", f"{r['processor_seconds']:.1f}", f"{r['images_a_second']:.0f}")
        for name, r in results["rates"].items()
    ]
    return table((f"{results['images']:,} images of", "seconds", "of a core", "images a second"), rows)


def encoders() -> str:
    """Return what each encoder sees."""
    rows = []
    for entry in read("encoders"):
        ratios = entry["probe"]["ratios"]
        cells = [
            f"{ratios['content'][name]['value']:.2f} / {ratios['style'][name]['value']:.2f}" for name in DIVERSITIES
        ]
        rows.append((entry["encoder"], *cells, entry["verdict"]))
    return table(("encoder", *DIVERSITIES, "sees"), rows)


def faults() -> str:
    """Return the scores and flags of renders with known faults, by the default encoder."""
    named = {"right": "right", "leaked": "content leaked from the style", "unstylised": "no style"}
    results, rows = read("faults")["tower"]["images"], []
    for method, name in named.items():
        scores = [
            f"{results[method]['scores'][key]['mean']:.2f}" for key in ("content_cosine", "style_cosine", "harmonic")
        ]
        flags = [results[method]["flags"][key] for key in ("content_leak", "copy", "unstylised")]
        rows.append((name, *scores, *(f"{flag['successes'] / flag['total']:.0%}" for flag in flags)))
    header = ("renders", "content cosine", "style cosine", "harmonic mean", "`content_leak`", "`copy`", "`unstylised`")
    return table(header, rows)


def agreement(over: str, names: Sequence[str] = AGREEMENT) -> str:
    """Return the correlations of metrics with their truths, over "all" images or "within_pairs"."""
    results = read("agreement")["correlations"]
    rows = []
    for name in names:
        truth = truth_of(name)
        cells = [show_correlation(results[kind].get(name, {}).get(truth, {}).get(over)) for kind in TYPES]
        rows.append((name, truth, *cells))
    return table(("metric", "truth", *TYPES), rows)


def leaning() -> str:
    """Return the correlations of content and style metrics with every truth, for trained prompts."""
    results = read("agreement")["correlations"]["train"]
    names = [name for name in AGREEMENT if name.split(",")[0].split()[0] in ("content", "style")]
    rows = []
    for name in names:
        if name in results:
            rows.append((name, *(show_correlation(results[name][truth]["all"]) for truth in TRUTHS)))
    return table(("metric", *TRUTHS), rows)


def study() -> str:
    """Return the exact effects on the most informative criteria."""
    return effects_table(measure_effects(read_table(HERE / "study.csv", FACTORS, STUDY)))


def stale() -> list[str]:
    """Return the results that belong to another base, other LoRAs or another judge than the shipped ones.

    The network is one of six methods only, so a new network does not make results stale.
    """
    tower = load_encoder("tower").sha256
    towers = {
        "encoders.json": next(entry["sha256"] for entry in read("encoders") if entry["encoder"] == "tower"),
        "faults.json": read("faults")["tower"]["sha256"],
        "agreement.json": read("agreement")["encoders"]["tower"],
        "study.json": read("study")["tower"],
    }
    wrong = {name for name, sha256 in towers.items() if not same(sha256, tower)}
    recorded, shipped = read("agreement")["sources"], sources()
    for name in ("base", "loras", "judge"):
        if not same(recorded[name], shipped[name]):
            wrong.add("agreement.json")
    return sorted(wrong)


def same(recorded: str, shipped: str) -> bool:
    """Return whether hashes are equal, or of weights that give the same results."""
    return recorded == shipped or EQUAL.get(recorded[:16]) == shipped[:16]


def fill(path: Path, tables: Mapping[str, str]) -> None:
    """Put tables between their marks.

    Raises:
        ValueError: A mark is missing or appears twice.
    """
    text = path.read_text(encoding="utf-8")
    for name, content in tables.items():
        text, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
            lambda m, content=content: f"{m[1]}{content}\n{m[2]}",
            text,
            flags=re.S,
        )
        if count != 1:
            raise ValueError(f"expected one place <!-- {name} --> .. <!-- /{name} --> in {path}, found {count}")
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Fill both pages."""
    if wrong := stale():
        raise SystemExit(
            f"expected results of the shipped artefacts, found others in {wrong}: run experiments/metrics/run.sh"
        )
    of_default_encoder = [name for name in AGREEMENT if "pixels" not in name]
    fill(MAIN, {"faults": faults(), "agreement": agreement("all", of_default_encoder)})
    correlations = {"agreement": agreement("all"), "within": agreement("within_pairs"), "leaning": leaning()}
    others = {"rates": rates(), "encoders": encoders(), "faults": faults(), "study": study()}
    fill(HERE / "README.md", correlations | others)


if __name__ == "__main__":
    main()
