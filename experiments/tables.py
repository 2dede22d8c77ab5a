"""Tables of the README and of docs/results, made from the results of the experiments.

python experiments/tables.py            # fill them in
python experiments/tables.py --check    # exit with 1 if a page differs from the results

A table stands between two marks, <!-- NAME --> and <!-- /NAME -->, on lines of their own, where NAME is a key of
`TABLES`; a number in a sentence stands between such marks without a line break, where NAME is a key of `NUMBERS`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs" / "results").glob("*.md")))
OURS = "our network"
# Names of rows that the results keep from the day of their run, and what the pages call them.
LABELS = {
    "direct": "sum (`direct`)",
    "words": "text-guided",
    "our network, then words": "our network, then text-guided",
    "ZipLoRA told the words": "ZipLoRA with true descriptions",
    "our network shown another pair": "our network, given another pair's LoRAs",
}
SHORT = ("text-guided, described", OURS, "ZipLoRA, tuned", "auto", "two scalars", "direct")
# Parts of the test of analogies, and what the pages call them.
ANALOGIES = {"types": "held-out types", "compositions": "compositions", "values": "held-out values", "seen": "seen"}
ANALOGY_COLUMNS = ("accuracy", "preservation", "accuracy minus the basis'")
GATES = {
    "reconstructions against renders: joint": "reconstructions minus renders: joint",
    "base on its own captions: category": "base, its own captions: category",
    "content LoRA over the base: content": "content LoRA minus base: content",
    "style LoRA over the base: style": "style LoRA minus base: style",
    "truth-fitted over direct: joint": "truth-fitted minus sum: joint",
    "truth-fitted over direct: strict": "truth-fitted minus sum: strict",
    "truth-fitted over constant: joint": "truth-fitted minus constant: joint",
    "truth-fitted over constant: strict": "truth-fitted minus constant: strict",
}


def read(name: str) -> Any:
    """Read a result of an experiment."""
    return json.loads((HERE / name).read_text(encoding="utf-8"))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def interval(value: dict[str, Any], form: str = ".3f") -> str:
    """Return a mean with its 95 % interval, "0.932 [0.871, 0.984]", with spaces at which no line breaks."""
    return f"{value['mean']:{form}} [{value['low']:{form}}, {value['high']:{form}}]".replace(" ", "\u00a0")


def relative_time(times: dict[str, Any], name: str) -> str:
    """Return the time of a row's merge as a multiple of the sum's: "1.0" or "580"."""
    if name not in times:
        return ""
    return multiple(times[name]["merge_seconds"] / times["direct"]["merge_seconds"])


def multiple(ratio: float) -> str:
    """Return how many times as long: "1.0" or "580"."""
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"


def minus(results: dict[str, Any], first: str, second: str) -> str:
    """Return the paired difference of the joint scores of two rows; a star marks what Holm's correction leaves."""
    for each in results["compared"]["joint"]:
        if (each["first"], each["second"]) == (first, second):
            return interval(each, "+.3f") + (" *" if each["differs"] else "")
    return ""


def is_reference(method: dict[str, Any]) -> bool:
    """Tell whether a row of the main table looks at the truth, or merges nothing."""
    kinds = ("base", "content", "style", "truth", "joint")
    return method["kind"] in kinds or bool(method["settings"].get("true_descriptions"))


def row_label(results: dict[str, Any], name: str) -> str:
    """Return the label of a row: bold if tied with the best, scores of training seeds in brackets."""
    label = LABELS.get(name, name)
    if name in results["tied_with_the_best"]:
        label = f"**{label}**"
    seeds = results["methods"][name].get("joint_of_training_seeds", [])
    return f"{label} ({', '.join(f'{value:.3f}'[1:] for value in seeds)})" if len(seeds) > 1 else label


def main_table() -> str:
    """Return every row of the main experiment, references and ceilings last."""
    results, times = read("main/results.json"), read("main/times.json")
    judged = results["judge"]["methods"]
    ranked = sorted(results["methods"], key=lambda name: -results["methods"][name]["joint"]["mean"])
    references = [name for name in ranked if is_reference(results["methods"][name])]

    def cells(name: str) -> list[str]:
        method = results["methods"][name]
        return [
            row_label(results, name),
            f"{method['content']['mean']:.3f}",
            f"{method['style']['mean']:.3f}",
            interval(method["joint"]),
            f"{method['strict']['mean']:.3f}",
            minus(results, OURS, name),
            str(len(method.get("tried") or []) or ""),
            relative_time(times, name),
            f"{judged[name]['mars2']:.3f}",
        ]

    header = (
        "method",
        "content",
        "style",
        "joint",
        "strict",
        f"{OURS} minus this, joint",
        "tried",
        "time, sum = 1",
        "judge",
    )
    rows = [cells(name) for name in ranked if name not in references]
    rows += [["*references and ceilings*", *[""] * 8], *(cells(name) for name in references)]
    return table(header, rows)


def short_table() -> str:
    """Return the six rows of the README: time, and joint scores on one recipe, in the wild and with mixed strengths."""
    one_recipe, wild, times = (
        read(f"claims/{name}.json") for name in ("one_recipe/results", "wild/results", "whole_merges")
    )
    of_sum = times["over direct"] | {"ZipLoRA, tuned": times["over direct"]["ZipLoRA, 50 steps"]}
    mixed = read("ablations/mixed/results.json")["methods"]
    mixed |= {"ZipLoRA, tuned": mixed["ZipLoRA"], "auto": read("auto/mixed/results.json")["methods"]["auto"]}
    rows = []
    for name in SHORT:
        measured = (one_recipe["methods"][name], wild["methods"][name], mixed.get(name))
        label = LABELS.get(name, name)
        rows.append(
            (
                f"**{label}**" if name == OURS else label,
                multiple(of_sum[name]),
                *(interval(each["joint"], ".2f") if each else "not measured" for each in measured),
            )
        )
    return table(("method", "time of a merge, sum = 1", "one recipe", "in the wild", "mixed strengths"), rows)


def quality_table(folder: str, ours: str) -> Callable[[], str]:
    """Return a function that makes the table of a further quality benchmark, the best joint score first."""

    def make() -> str:
        results = read(f"{folder}/results.json")
        ranked = sorted(results["methods"], key=lambda name: -results["methods"][name]["joint"]["mean"])
        rows = []
        for name in ranked:
            method = results["methods"][name]
            rows.append(
                (
                    row_label(results, name),
                    f"{method['content']['mean']:.3f}",
                    f"{method['style']['mean']:.3f}",
                    interval(method["joint"]),
                    f"{method['strict']['mean']:.3f}",
                    minus(results, ours, name),
                    str(len(method.get("tried") or []) or ""),
                )
            )
        return table(("method", "content", "style", "joint", "strict", f"{ours} minus this, joint", "tried"), rows)

    return make


def recipes_table() -> str:
    """Return the joint scores of the mergers in the wild on the pairs of each recipe."""
    results = read("wild/results.json")
    rows = [name for name in results["methods"] if results["methods"][name]["kind"] not in ("content", "style")]
    ranked = sorted(rows, key=lambda name: -results["methods"][name]["joint"]["mean"])
    lines = []
    for recipe, score in results["by_recipe"][ranked[0]].items():
        means = [f"{results['by_recipe'][name][recipe]['joint']['mean']:.2f}" for name in ranked]
        lines.append([recipe, str(score["pairs"]), *means])
    return table(("recipe", "pairs", *(LABELS.get(name, name) for name in ranked)), lines)


def gates_table() -> str:
    """Return the gates of the toy world."""
    rows = []
    for gate in read("gates/results.json")["gates"]:
        value = f"{gate['value']:.3f}" if gate["low"] is None else interval(gate | {"mean": gate["value"]})
        name = GATES.get(gate["name"], gate["name"])
        rows.append((name, value, f"{gate['bound']:g}", "yes" if gate["met"] else "no"))
    return table(("gate", "value", "at least", "met"), rows)


def speedup_table() -> str:
    """Return how much longer optimising coefficients takes than predicting them."""
    results = read("speedup/results.json")
    named = {"paper": "LoRA.rar's network", "ours": OURS}
    rows = [(named[name], f"{network['times_faster']:,.0f}") for name, network in results["networks"].items()]
    steps = f"ZipLoRA's {results['config']['steps']} steps take, times"
    return table(("from loaded LoRAs to coefficients", steps), rows)


def merge_table() -> str:
    """Return how much faster and smaller a merge is than the dense formulation."""
    ratios = read("merge/results.json")["devices"]["cpu"]["ratios"]
    named = {"direct": "sum (`direct`)", "network": "LoRA.rar's network"}
    rows = [(named[name], f"{each['seconds']:.1f}", f"{each['extra_bytes']:.1f}") for name, each in ratios.items()]
    return table(("two rank-64 SDXL LoRAs", "times faster than dense", "times less extra memory"), rows)


def processes_table() -> str:
    """Return the time of whole commands as a multiple of the floor's, with the bound that was set before."""
    results = read("merge/processes.json")
    rows = []
    for name, command in results["commands"].items():
        rounds = zip(results["all"][name], results["floors"][name], strict=True)
        times = sorted(run["seconds"] / floor["seconds"] for run, floor in rounds)
        peak = f"{command['peak_bytes'] / 1e9:.2f}"
        bound = "" if command["bound"] is None else f"{command['bound']:g}"
        rows.append((f"`{name}`", ", ".join(f"{each:.2f}" for each in times), bound, peak))
    return table(("command", "times the floor, each round", "bound", "peak, GB"), rows)


def training_table() -> str:
    """Return how much faster a training step is than the released formulation."""
    rows = []
    for line in (HERE / "training_speed/results.jsonl").read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        config, ratios = result["config"], result["ratios"]
        checkpointing = "yes" if config["gradient_checkpointing"] else "no"
        rows.append(
            (
                f"{config['pairs']} x {config['images']}",
                checkpointing,
                f"{ratios['seconds']:.2f}",
                f"{ratios['extra_bytes']:.2f}",
                f"{result['gradient_difference']:.0e}",
            )
        )
    header = ("pairs x images", "checkpointing", "times faster", "times less extra memory", "gradients differ by")
    return table(header, rows)


def zoo_table() -> str:
    """Return how much faster many LoRAs train in one batch than one by one with peft."""
    images = (4, 1)  # images a step of the two lines, see experiments/zoo/run.sh
    lines = (HERE / "zoo/results.jsonl").read_text(encoding="utf-8").splitlines()
    results = [json.loads(line) for line in lines]
    rows = [(str(n), str(r["group"]), f"{r['ratio']:.1f}") for n, r in zip(images, results, strict=True)]
    return table(("images a step", "LoRAs in one batch", "times faster"), rows)


def words_table() -> str:
    """Return the validation scores of the network that was trained from descriptions alone."""
    header = read("words/results.json")
    cells = [f"{float(header[f'validation/{name}']):.3f}" for name in ("content", "style", "joint", "strict")]
    return table(("trained on", "content", "style", "joint", "strict"), [("concepts in words, no given image", *cells)])


def judge_table() -> str:
    """Return the rates of the embedded judge, on renders and on generated images."""
    results = read("judge/results_test.json")
    renders, agreement = results["renders"]["embedded"], results["generated"]["agreement"]

    def rate(value: list[float]) -> str:
        return interval(dict(zip(("mean", "low", "high"), value, strict=False)))

    named = {
        "sensitivity": "renders: sensitivity",
        "specificity": "renders: specificity",
        "near_specificity": "renders: specificity where one attribute differs",
        "degenerate_accepts": "renders: blanks, noise, cards and collages accepted",
    }
    axes = ("content", "style")
    rows = [(label, *(rate(renders[axis][key]) for axis in axes)) for key, label in named.items()]
    rows.append(("renders: AUC", *(f"{renders[axis]['auc']:.3f}" for axis in axes)))
    others = {
        "kappa": "generated images: kappa with the classifier",
        "yes_to_right": "generated images: yes to right ones",
        "yes_to_wrong": "generated images: yes to wrong ones",
    }
    rows += [(label, *(rate(agreement[axis][key]) for axis in axes)) for key, label in others.items()]
    return table(("", *axes), rows)


def statistics_table() -> str:
    """Return the coverage of nominal 95 % intervals of simulated scores, by method."""
    named = {
        "percentile, contents x styles": "bootstrap, contents x styles",
        "percentile, and seeds": "bootstrap, and seeds",
        "BCa": "BCa",
        "unbiased variance, t": "unbiased variance, t",
        "adopted": "adopted",
    }
    cells = read("statistics/results.json")["coverage"]
    shown = [("8x8x4", "0.85"), ("8x8x4", "0.93"), ("8x8x4", "0.97"), ("8x8x4", "0.99")]
    shown += [(design, "0.93") for design in ("5x5x1", "5x5x4", "5x5x10", "8x8x1", "20x20x4")]
    rows = []
    for design, mean in shown:
        for effects, methods in cells[design][mean].items():
            covered = (f"{methods[name]['coverage']:.3f}" for name in named)
            rows.append((design, mean, effects, *covered, f"{methods['adopted']['width']:.2f}"))
    return table(("contents x styles x seeds", "mean", "effects", *named.values(), "its width"), rows)


def growth_table() -> str:
    """Return the exponents with which costs grow."""
    rows = [
        (
            kind,
            what,
            f"{min(sizes):,} to {max(sizes):,}",
            interval({"mean": e["exponent"], **e}, ".2f"),
            f"{e['last']:.1f}",
        )
        for what, kinds in read("growth/results.json")["growth"].items()
        for kind, e in kinds.items()
        for sizes in [[int(size) for size in e["seconds"]]]
    ]
    return table(("cost", "against", "sizes", "exponent", "between the last two sizes"), rows)


def size_table() -> str:
    """Return memory and time of the shipped configurations of full-size bases, all computed."""
    gpus = {"RTX 4090, 24 GB": "24 GB, RTX 4090", "A100, 80 GB": "80 GB, A100", "H100, 80 GB": "80 GB, H100"}

    def cells(row: dict[str, Any]) -> list[str]:
        fits = f"{row['fits'] / 1e9:.0f} GB"
        times = [
            f"{row['seconds'][gpu]:.2g} s, {row['hours'][gpu]:.2g} h" if gpu in row["seconds"] else "does not fit"
            for gpu in gpus
        ]
        return [row["configuration"], f"{row['bytes'] / 1e9:.1f}", fits, f"{row['steps']:,}", *times, row["origin"]]

    header = ("configuration", "GB", "fits a card of", "steps", *gpus.values(), "origin")
    return table(header, (cells(row) for row in read("size/shipped_sizes.json")))


def lycoris_table() -> str:
    """Return the ranks of the algorithms beside the paper's, 5 is best, with the mean normalised rank."""
    algorithms = read("lycoris/summary.json")["algorithms"]
    rows = []
    for name in next(iter(algorithms.values())):
        cells = [by_name[name] for by_name in algorithms.values()]
        ranks = [f"{cell['rank']} / {cell['paper']}" if cell["paper"] else str(cell["rank"]) for cell in cells]
        rows.append([name, *(f"{rank}; {interval(cell, '.2f')}" for rank, cell in zip(ranks, cells, strict=True))])
    return table(("here / paper; mean rank", *algorithms), rows)


def statements_table() -> str:
    """Return the paper's statements on training, each with the difference of mean ranks and the verdict."""
    rows = [
        (each["statement"], interval(each, "+.2f"), each["verdict"])
        for each in read("lycoris/summary.json")["statements"]
    ]
    return table(("statement", "difference of mean ranks", "verdict"), rows)


def analogies_table(score: str) -> Callable[[], str]:
    """Return a function that makes the table of a score of analogies: all methods, by part of the test."""

    def make() -> str:
        means = read("analogies/summary.json")["means"]
        rows = []
        for name in means["seen"]:
            cells = [means[part].get(name) for part in ANALOGIES]
            rows.append([name, *(interval(cell[score], ".2f") if cell else "" for cell in cells)])
        return table(("method", *ANALOGIES.values()), rows)

    return make


def analogy_differences_table() -> str:
    """Return the basis minus what it is compared with, in accuracy and in preservation, by part of the test."""
    differences = read("analogies/summary.json")["differences"]
    rows = []
    for name in ("one LoRA", "uniform router", "oracle router", "one LoRA a task", "optimised combination"):
        for score in ("accuracy", "preservation"):
            cells = [differences[part].get(name) for part in ANALOGIES]
            shown = [interval(cell[score], "+.2f") if cell else "" for cell in cells]
            if any(shown):
                rows.append((f"{name}: {score}", *shown))
    return table(("the basis minus", *ANALOGIES.values()), rows)


def analogies_short_table(name: str) -> Callable[[], str]:
    """Return a function that makes the table of a smaller run: scores, and differences to the basis."""

    def make() -> str:
        parts = read(f"analogies/{name}.json")["parts"]
        rows = []
        for row in parts["seen"]:
            if row in ("truth", "copy of b", "copy of a'"):
                continue
            cells = [row]
            for part in ("types", "seen"):
                found = parts[part][row]
                cells += [f"{found['accuracy'][0]:.2f}", f"{found['preservation'][0]:.2f}"]
                against = found.get("minus reference")
                cells += [spread(against["accuracy"]) if against else ""]
            rows.append(cells)
        columns = [f"{part}: {what}" for part in ("held-out types", "seen") for what in ANALOGY_COLUMNS]
        return table(("method", *columns), rows)

    return make


def spread(numbers: Sequence[float]) -> str:
    """Return mean, low and high as a difference with its interval."""
    return interval(dict(zip(("mean", "low", "high"), numbers, strict=True)), "+.2f")


TABLES: dict[str, Callable[[], str]] = {
    "main": main_table,
    "rows": short_table,
    "mixed": quality_table("ablations/mixed", OURS),
    "wild": quality_table("wild", OURS),
    "wild_all": quality_table("wild/all_pairs", "auto"),
    "wild_recipes": recipes_table,
    "one_recipe": quality_table("claims/one_recipe", "auto"),
    "claims_wild": quality_table("claims/wild", "auto"),
    "lycoris": lycoris_table,
    "statements": statements_table,
    "analogies_accuracy": analogies_table("accuracy"),
    "analogies_preservation": analogies_table("preservation"),
    "analogies_differences": analogy_differences_table,
    "analogies_ablations": analogies_short_table("ablations"),
    "analogies_transformer": analogies_short_table("transformer"),
    "normalised": quality_table("ablations/normalised", OURS),
    "wide": quality_table("any_width/wide", "our network, as it is"),
    "transformer": quality_table("any_width/transformer", "our network, tuned here"),
    "gates": gates_table,
    "size": size_table,
    "growth": growth_table,
    "speedup": speedup_table,
    "merge": merge_table,
    "processes": processes_table,
    "training": training_table,
    "zoo": zoo_table,
    "words": words_table,
    "judge": judge_table,
    "statistics": statistics_table,
}


NUMBERS: dict[str, Callable[[], str]] = {
    "ratio": lambda: f"{read('speedup/results.json')['networks']['ours']['times_faster']:,.0f}",
}


def filled(text: str) -> str:
    """Return a page with the tables and numbers between their marks made anew."""

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- {name} -->\n{TABLES[name]()}\n<!-- /{name} -->" if name in TABLES else match[0]

    def replace_number(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- {name} -->{NUMBERS[name]()}<!-- /{name} -->" if name in NUMBERS else match[0]

    text = re.sub(r"<!-- (\w+) -->\n.*?<!-- /\1 -->", replace, text, flags=re.S)
    return re.sub(r"<!-- (\w+) -->[^\n]*?<!-- /\1 -->", replace_number, text)


def main() -> None:
    """Fill the pages, or check them."""
    texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
    stale = [page for page, text in texts.items() if filled(text) != text]
    if "--check" in sys.argv[1:]:
        if stale:
            names = ", ".join(page.relative_to(ROOT).as_posix() for page in stale)
            raise SystemExit(f"expected the tables of the results, found others in {names}: run experiments/tables.py")
        return
    for page in stale:
        page.write_text(filled(texts[page]), encoding="utf-8")
        print(page.relative_to(ROOT).as_posix())


if __name__ == "__main__":
    main()
