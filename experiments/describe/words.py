"""Words of the embedded describer for the validation and test LoRAs, compared with the truth: writes words.json."""

from __future__ import annotations

import argparse
from dataclasses import astuple
from pathlib import Path

from lorarar import load
from lorarar.datasets import load_splits
from lorarar.mergers import PairInputs
from lorarar.storage import EMBEDDED, write_json
from lorarar.training import PairOptimiser
from lorarar.workflows import describe_loras
from lorarar.worlds.toy import ATTRIBUTES, Style, Subject, style_of, subject_of
from lorarar.worlds.toy.attributes import all_styles, all_subjects

FOLDER = Path(__file__).parent
NAMES = list(ATTRIBUTES)
BY_WORDS = {f"a {subject.words()}": subject for subject in all_subjects()} | {
    f"{style.words()} style": style for style in all_styles()
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("splits", nargs="*", default=["validation", "test"])
    results = {}
    for split in parser.parse_args().splits:
        members = load_splits(EMBEDDED / "concepts.yaml", "embedded")[split]
        words = {}
        for pair in zip(members.contents, members.styles, strict=True):
            inputs = PairInputs(
                describe="tiny",
                runs=Path("runs/describe/pair.run"),
            )
            loras = [load(EMBEDDED / "loras" / f"{name}.safetensors") for name in pair]
            found = describe_loras(PairOptimiser("data/embedded/base", inputs, "cpu"), loras).inputs
            words |= dict(zip(pair, (found.content_description, found.style_description), strict=True))
        results[split] = count_right(words)
    write_json(FOLDER / "words.json", results)
    for split, counted in results.items():
        print(split, counted["right"], counted["wrong"])


def count_right(words: dict[str, str]) -> dict[str, object]:
    """Return the right attributes by their number, and the concepts with a wrong one."""
    right, wrong = dict.fromkeys(NAMES, 0), {}
    for name, text in words.items():
        true: Subject | Style = subject_of(name) if "_content_" in name else style_of(name)
        found = BY_WORDS.get(text)
        own = NAMES[:4] if isinstance(true, Subject) else NAMES[4:]
        values = astuple(found) if type(found) is type(true) else (None,) * 4
        mistakes = [a for a, value, truth in zip(own, values, astuple(true), strict=True) if value != truth]
        for attribute in own:
            right[attribute] += attribute not in mistakes
        if mistakes:
            wrong[name] = {"words": text, "true": true.words(), "wrong": mistakes}
    return {"concepts": len(words), "right": right, "wrong": wrong, "words": words}


if __name__ == "__main__":
    main()
