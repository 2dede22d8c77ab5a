"""Blind test: images of two results side by side in random order; the votes are labels that the judge's report reads.

The images lie in images/METHOD/CONTENT+STYLE/SEED.png, so `lorarar judge plan` lists them by the layout
"{method}/{content}+{style}/{seed}.png", and labels.csv is what `lorarar judge import-labels` takes.
"""

from __future__ import annotations

import csv
import io
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorarar.datasets import AXES, Axis
from lorarar.diffusion import Sampling, generate_files, load_backbone
from lorarar.storage import digest, write_text

LAYOUT = "{method}/{content}+{style}/{seed}.png"
ANSWERS: Mapping[str, tuple[int, int]] = {"left": (1, 0), "right": (0, 1), "both": (1, 1), "neither": (0, 0)}
_COLUMNS = ("item", "axis", "label", "rater")
_LABELS = "labels.csv"


@dataclass(frozen=True)
class BlindPair:
    """Two images of one seed, of two methods, in the order in which they are shown."""

    left: Path
    right: Path

    @property
    def items(self) -> tuple[str, str]:
        """Names of the two images in the judge's manifest."""
        return _item(self.left), _item(self.right)


@dataclass(frozen=True)
class Tally:
    """Votes for a method: how often it was right, of how many votes, on each axis."""

    method: str
    right: Mapping[Axis, int]
    votes: int


def draw_blind(
    folder: Path,
    results: Mapping[str, str | Path],
    names: tuple[str, str],
    base: str | Path,
    prompt: str,
    seeds: Sequence[int],
    sampling: Sampling,
    device: str = "auto",
) -> Path:
    """Draw the images of a blind test.

    Args:
        folder: Folder of the blind tests.
        results: Method or name of a result -> its file.
        names: Names of the content and the style, as in the file of references that the judge is given.
        base: Base model: a folder or a hub id.
        prompt: Prompt of all images.
        seeds: Seeds; each gives a pair.
        sampling: Steps and guidance.
        device: Where the base computes.

    Returns:
        The folder of this test; the same inputs give the same one.

    Raises:
        ValueError: There are not two results, or a name does not fit into a path.
    """
    if len(results) != 2:
        raise ValueError("expected two different results, found one: choose another, or merge again first")
    for name in (*names, *results):
        if not name or "/" in name or "+" in name:
            raise ValueError(f"expected names without / and +, found {name!r}: rename it")
    identity = {"results": {name: str(file) for name, file in results.items()}, "base": str(base), "prompt": prompt}
    test = folder / digest({**identity, "names": names, "seeds": list(seeds), "sampling": str(sampling)})[:12]
    backbone = load_backbone(base, device=device)
    for method, file in results.items():
        place = test / "images" / method / "+".join(names)
        generate_files(backbone, [str(file)], prompt, seeds, sampling, place, force=True)
    return test


def open_pairs(test: Path, rater: str) -> list[BlindPair]:
    """Return the pairs that a rater has not seen, in a random order that is the same each time.

    Args:
        test: Folder of the test.
        rater: Name of the rater.
    """
    methods = sorted(path.name for path in (test / "images").iterdir())
    rated = {row["item"] for row in _read(test) if row["rater"] == rater}
    chance = random.Random(digest([test.name, rater]))
    pairs = []
    for path in sorted((test / "images" / methods[0]).rglob("*.png")):
        sides = [path, test / "images" / methods[1] / path.relative_to(test / "images" / methods[0])]
        chance.shuffle(sides)
        pairs.append(BlindPair(*sides))
    chance.shuffle(pairs)
    return [pair for pair in pairs if not set(pair.items) & rated]


def add_vote(test: Path, pair: BlindPair, answers: Mapping[Axis, str], rater: str) -> None:
    """Add a rater's answers to the labels.

    Args:
        test: Folder of the test.
        pair: The pair.
        answers: Axis -> a key of `ANSWERS`.
        rater: Name of the rater.

    Raises:
        ValueError: An answer is missing, or the pair was rated.
    """
    if set(answers) != set(AXES) or not set(answers.values()) <= set(ANSWERS):
        raise ValueError("expected an answer to both questions, found none: choose left, right, both or neither")
    rows = _read(test)
    if any(row["rater"] == rater and row["item"] in pair.items for row in rows):
        raise ValueError("expected a new pair, found one that was rated: go on with the next")
    for axis, answer in answers.items():
        for item, label in zip(pair.items, ANSWERS[answer], strict=True):
            rows.append({"item": item, "axis": axis, "label": str(label), "rater": rater})
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_COLUMNS, *([row[name] for name in _COLUMNS] for row in rows)])
    write_text(test / _LABELS, text.getvalue())


def count_votes(test: Path) -> list[Tally]:
    """Return the votes for each method, over all raters."""
    right: Counter[tuple[str, str]] = Counter()
    votes: Counter[str] = Counter()
    for row in _read(test):
        method = row["item"].partition("/")[0]
        right[method, row["axis"]] += int(row["label"])
        votes[method] += row["axis"] == AXES[0]
    return [Tally(method, {axis: right[method, axis] for axis in AXES}, votes[method]) for method in sorted(votes)]


def _read(test: Path) -> list[dict[str, str]]:
    path = test / _LABELS
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _item(path: Path) -> str:
    """Return method/content+style/seed."""
    return f"{path.parent.parent.name}/{path.parent.name}/{path.stem}"
