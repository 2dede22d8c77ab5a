"""Sentences of comparison in the pages, each checked against the results that it rests on.

python experiments/claims.py          # exit with 1 and say what does not hold
python experiments/claims.py --new    # print the sentences that claims.yaml lacks, ready to be filled in

A sentence compares if it holds one of `WORDS` and is no question. Each stands in claims.yaml: among "exempt" with a
reason, or among "claims" under its page with what it rests on:

better, not_better, undecided: {in: main, first: ROWS, second: ROWS, metric: joint}
    Rows of experiments/main/results.json, each first with each second, compared anew from raw scores. "better": the
    interval of first minus second lies above 0, and Holm's p is below 0.05. "not_better": the interval does not lie
    above 0. "undecided": it includes 0. Where the raw scores of a row were not kept, the recorded interval counts, and
    `recorded: true` has to say so.
equivalent: the same, by two one-sided tests within the margin that the run's configuration fixed beforehand.
ascending: [[VALUE, VALUE, ..], ..]: values in ascending order, each a number of the sentence or [FILE, KEY, ..] in a
    result. It is for scores without an interval, of which the sentence must claim no more, and for the bounds of
    intervals in results of another form, on this or that side of 0 (without quotes).
numbers: {"1.38": [FILE, KEY, ..]}: a number of the sentence and the result that it rounds; [[FILE, ..], [FILE, ..]] is
    the quotient of two results.
given: numbers of the sentence that are settings or counts, not results.

Every number of the sentence with a decimal point, and every interval, must follow from these.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lorarar.benchmark.quality.comparison import RowComparison, compare_rows
from lorarar.evaluation.statistics import Estimate, equivalence_test

ROOT = Path(__file__).parents[1]
FILE = ROOT / "experiments" / "claims.yaml"
CARDS = ("lorarar/**/*.card.json", "data/**/*.card.json")
PAGES = ("README.md", "docs/**/*.md", "experiments/*/README.md", "experiments/LOG.md", *CARDS)
WORDS = re.compile(
    r"\b(better|worse|best|worst|beats?|beaten|wins?|loses?|outperforms?|as (good|well|close|much) as|"
    r"(do|does|did|wins?) as (well|much)|on par|level with|the level of|equals|equal to|(are|is) equal|equally|"
    r"no difference|difference is shown|not shown|shown to be|cannot be told|indistinguishable|undecided|tied|"
    r"no (gain|advantage|effect|sign)|hardly (matters?|differs?)|ahead|faster|slower|"
    r"higher than|lower than|highest|lowest|"
    r"(above|below) (direct|the (sum|best|bound)|every|all|any|zip|our|lora))\b",
    re.IGNORECASE,
)
COMPARISONS = ("better", "not_better", "undecided", "equivalent")
STEPS = 12  # raw scores are quarters, or means of three quarters, rounded to four digits
NUMBER = r"[+-]?\d*\.\d+"


class ClaimError(ValueError):
    """A sentence does not follow from the results; the message says why."""


@dataclass(frozen=True)
class Difference:
    """A comparison of two rows, and the mean scores of both."""

    result: RowComparison
    means: tuple[float, float]
    from_raw: bool


# Sentences of pages.


def pages() -> list[str]:
    """Return the pages that are checked, as paths from the root of the repository."""
    return sorted({path.relative_to(ROOT).as_posix() for pattern in PAGES for path in ROOT.glob(pattern)})


def plain(text: str) -> str:
    """Return Markdown as words: without emphasis, targets of links, and numbers that tables.py fills in."""
    text = re.sub(r"<!-- (\w+) -->[^\n]*?<!-- /\1 -->", r"{\1}", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"\*\*|(?<!\w)\*(?=\w)|(?<=[\w.])\*(?!\w)", "", text).split())


def sentences(text: str) -> list[str]:
    """Return the sentences of a Markdown page, and the cells of its tables."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    found: list[str] = []
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[*-]|\d+\.) |\||#)", text):
        if block.lstrip().startswith("|"):
            found += [plain(cell) for cell in block.split("|")]
        else:
            block = re.sub(r"^\s*(?:[*-]|\d+\.|#+) ", "", block)
            found += re.split(r"(?<=[.!?:]) (?=[A-Z`{])", plain(block))
    return [sentence for sentence in found if sentence]


def texts(card: object) -> Iterator[str]:
    """Yield every text of a card."""
    if isinstance(card, str):
        yield card
    elif isinstance(card, Mapping | list):
        for value in card.values() if isinstance(card, Mapping) else card:
            yield from texts(value)


def sentences_of(page: str) -> list[str]:
    """Return the sentences of a page or of a card."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if page.endswith(".json"):
        return [sentence for part in texts(json.loads(text)) for sentence in sentences(part)]
    return sentences(text)


def compares(sentence: str) -> bool:
    """Tell whether a sentence compares; a question claims nothing."""
    return bool(WORDS.search(sentence)) and not sentence.endswith("?")


# Results.


@cache
def read(file: str) -> Any:
    """Read a result of an experiment."""
    return json.loads((ROOT / "experiments" / file).read_text(encoding="utf-8"))


def value_at(path: Sequence[Any]) -> float:
    """Return a number of a result, [FILE, KEY, ..], or the quotient of two."""
    if isinstance(path[0], list):
        return value_at(path[0]) / value_at(path[1])
    value = read(path[0])
    for key in path[1:]:
        value = value[key]
    return float(value)


@cache
def scores(folder: str, metric: str) -> tuple[dict[str, np.ndarray], set[str]]:
    """Return each row's scores (contents, styles, seeds), and the rows whose joint scores were not kept.

    For those the smaller of the mean content and the mean style score stands in, as experiments/statistics/recompute.py
    has it: good for p-values, not for intervals.
    """
    results, values, lost = read(f"{folder}/results.json"), {}, set()
    for name, raw in results["raw"].items():
        kept = {key: np.round(np.array(raw[key]) * STEPS) / STEPS for key in ("content", "style", "strict")}
        if "joint" in raw:
            kept["joint"] = np.array(raw["joint"]).mean(0)
        else:
            kept["joint"] = np.minimum(kept["content"], kept["style"])
            if metric == "joint" and abs(kept["joint"].mean() - results["methods"][name]["joint"]["mean"]) > 1e-6:
                lost.add(name)
        values[name] = kept[metric]
    return values, lost


@cache
def compared(folder: str, metric: str, pairs: tuple[tuple[str, str], ...]) -> list[RowComparison]:
    """Compare rows anew, with Holm's correction over all pairs."""
    return compare_rows(scores(folder, metric)[0], pairs)


def difference(folder: str, first: str, second: str, metric: str, others: Sequence[str]) -> Difference:
    """Return first minus second; Holm's correction is over the recorded comparisons, or over `others` without one."""
    results, (_, lost) = read(f"{folder}/results.json"), scores(folder, metric)
    for name in (first, second):
        if name not in results["methods"]:
            raise ClaimError(f"expected a row of {folder}/results.json, found {name!r}")
    means = tuple(results["methods"][name][metric]["mean"] for name in (first, second))
    from_raw = not lost & {first, second}
    for part in ("compared", "best_minus"):
        pairs = tuple((each["first"], each["second"]) for each in results[part][metric])
        for pair in ((first, second), (second, first)):
            if pair in pairs:
                recorded = results[part][metric][pairs.index(pair)]
                new = renewed(compared(folder, metric, pairs)[pairs.index(pair)], recorded, from_raw)
                return Difference(new if pair[0] == first else flipped(new), means, from_raw)
    if not from_raw:
        raise ClaimError(f"{folder}: neither raw joint scores nor a recorded comparison of {first!r} and {second!r}")
    pairs = tuple((first, other) for other in others)
    return Difference(compared(folder, metric, pairs)[pairs.index((first, second))], means, from_raw)


def renewed(new: RowComparison, recorded: Mapping[str, Any], from_raw: bool) -> RowComparison:
    """Return a comparison that was made anew, with the recorded bounds where raw scores are lost.

    Raises:
        ClaimError: What was recorded does not follow from the raw scores.
    """
    bounds = {key: recorded[key] for key in ("mean", "low", "high")}
    if not from_raw:
        return replace(new, **bounds, differs=new.p_holm < 0.05 and Estimate(**bounds).excludes_zero())
    if new.differs != recorded["differs"] or any(abs(getattr(new, key) - bounds[key]) > 1e-5 for key in bounds):
        raise ClaimError(f"expected the recorded comparison to follow from the raw scores, found {new}")
    return new


def flipped(each: RowComparison) -> RowComparison:
    """Return the comparison of the second row with the first."""
    return replace(each, first=each.second, second=each.first, mean=-each.mean, low=-each.high, high=-each.low)


# Claims.


def differences(claim: Mapping[str, Any]) -> list[Difference]:
    """Return the comparisons that a claim rests on."""
    firsts, seconds = (each if isinstance(each, list) else [each] for each in (claim["first"], claim["second"]))
    metric = claim.get("metric", "joint")
    made = [difference(claim["in"], first, second, metric, seconds) for first in firsts for second in seconds]
    if all(each.from_raw for each in made) == bool(claim.get("recorded", False)):
        raise ClaimError(f"expected `recorded: true` exactly where raw joint scores were not kept, found {claim}")
    return made


def check_verdict(kind: str, claim: Mapping[str, Any], made: Difference, sentence: str) -> None:
    """Raise `ClaimError` where the interval of a difference does not carry the claim."""
    each = made.result
    holds = {
        "better": each.differs and each.mean > 0,
        "not_better": each.low <= 0,
        "undecided": each.low <= 0 <= each.high,
        "equivalent": False,
    }[kind]
    if kind == "equivalent":
        margin = read(f"{claim['in']}/results.json").get("equivalence_margin")
        if margin is None:
            raise ClaimError(f"no margin was fixed before experiments/{claim['in']} was run: say that none is shown")
        values, _ = scores(claim["in"], claim.get("metric", "joint"))
        holds = equivalence_test(values[each.first], values[each.second], margin).shown
        if not any(float(text) == margin for text in re.findall(NUMBER, sentence)):
            raise ClaimError(f"expected the margin, {margin}, in the sentence")
    if not holds:
        found = f"{each.mean:+.3f} [{each.low:+.3f}, {each.high:+.3f}], p {each.p_holm:.3f}"
        raise ClaimError(f"{kind}: {each.first} minus {each.second} is {found}")


def rounds(text: str, value: float) -> bool:
    """Tell whether a number of a sentence is a value, rounded; without a sign it stands for the value's size."""
    near = 0.5 * 10 ** -len(text.partition(".")[2]) + 1e-6
    return abs(float(text) - value) <= near or (text[0] not in "+-" and abs(float(text) + value) <= near)


def check_numbers(sentence: str, made: Sequence[Difference], entry: Mapping[str, Any]) -> None:
    """Raise `ClaimError` for a number or an interval of the sentence that nothing listed gives."""
    for text, path in entry.get("numbers", {}).items():
        if text not in sentence or not rounds(text, value_at(path)):
            raise ClaimError(f"expected {text} in the sentence, found {value_at(path):g} in {path}")
    triples = [(each.result.mean, each.result.low, each.result.high) for each in made]
    for triple in re.findall(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]", sentence):
        if not any(all(map(rounds, triple, values)) for values in triples):
            raise ClaimError(f"expected an interval of the results, found {triple[0]} [{triple[1]}, {triple[2]}]")
    values = [value for triple in triples for value in triple]
    values += [value for each in made for value in (*each.means, each.result.p_holm)]
    known = {*map(str, entry.get("given", ())), *entry.get("numbers", {})}
    known |= {text for order in entry.get("ascending", ()) for text in order if isinstance(text, str)}
    for text in re.findall(rf"(?<![\w.]){NUMBER}", sentence):
        if text not in known and not any(rounds(text, value) for value in values):
            raise ClaimError(f"expected numbers of the results, found {text}: list what it rests on")


def check_order(sentence: str, order: Sequence[Any]) -> None:
    """Raise `ClaimError` if values do not ascend, or one that is given as text does not stand in the sentence."""
    for text in order:
        if isinstance(text, str) and text not in sentence:
            raise ClaimError(f"expected {text} in the sentence")
    values = [float(each) if isinstance(each, str | int) else value_at(each) for each in order]
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise ClaimError(f"expected ascending values, found {values}")


def check_entry(entry: Mapping[str, Any]) -> None:
    """Raise `ClaimError` if a sentence does not follow from what it is said to rest on."""
    sentence = " ".join(entry["says"].split())
    unknown = {*entry} - {"says", "ascending", "numbers", "given", *COMPARISONS}
    if unknown or not {*entry} & {"ascending", "numbers", *COMPARISONS}:
        raise ClaimError(f"expected what the sentence rests on, found {sorted({*entry} - {'says'})}")
    made: list[Difference] = []
    for kind in COMPARISONS:
        claims = entry.get(kind, [])
        for claim in claims if isinstance(claims, list) else [claims]:
            for each in differences(claim):
                check_verdict(kind, claim, each, sentence)
                made.append(each)
    for order in entry.get("ascending", []):
        check_order(sentence, order)
    check_numbers(sentence, made, entry)


def check(listed: Mapping[str, Any], found: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what is wrong: sentences that are not listed, that are gone, or that do not follow.

    Args:
        listed: What claims.yaml holds.
        found: The sentences of each page.
    """
    wrong = []
    exempt = {" ".join(each.split()) for group in listed["exempt"] for each in group["sentences"]}
    everywhere = {sentence for of_page in found.values() for sentence in of_page}
    wrong += [f"claims.yaml: exempt, but gone: {each}" for each in sorted(exempt - everywhere)]
    for page in sorted({*found, *listed["claims"]}):
        entries = {" ".join(each["says"].split()): each for each in listed["claims"].get(page, [])}
        here = found.get(page, ())
        wrong += [f"{page}: listed in claims.yaml, but gone: {each}" for each in entries if each not in here]
        for sentence in here:
            if compares(sentence) and sentence not in entries and sentence not in exempt:
                wrong.append(f"{page}: compares, but claims.yaml does not list it: {sentence}")
        for sentence, entry in entries.items():
            try:
                check_entry(entry)
            except ClaimError as error:
                wrong.append(f"{page}: {error}: {sentence}")
    return wrong


def main() -> None:
    """Check every page, or print what claims.yaml lacks."""
    listed = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    found = {page: sentences_of(page) for page in pages()}
    wrong = check(listed, found)
    if "--new" in sys.argv[1:]:
        mark = ": compares, but claims.yaml does not list it: "
        new = [line.split(mark, 1) for line in wrong if mark in line]
        by_page = {page: [{"says": text} for where, text in new if where == page] for page, _ in new}
        print(yaml.safe_dump(by_page, sort_keys=False, allow_unicode=True, width=118))
    elif wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
