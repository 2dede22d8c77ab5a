"""Packages: versions of the libraries against the declared minimum, and the extras."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version

# What each library serves; a merge by the shipped network needs those of `ESSENTIAL` alone.
PURPOSES = {
    "torch": "everything",
    "numpy": "everything",
    "safetensors": "everything",
    "lazy-loader": "everything",
    "typer": "the command line",
    "rich": "the command line and progress bars",
    "omegaconf": "configurations",
    "pyyaml": "configurations",
    "lightning": "training",
    "diffusers": "base models: generate, zoo, train",
    "transformers": "base models, the judge, encoders of metrics",
    "peft": "dreambooth",
    "accelerate": "base models that are larger than the memory",
    "wandb": "logs of training",
    "pillow": "images",
    "matplotlib": "plots",
    "jinja2": "the judge's report",
    "filelock": "runs that several processes share",
    "huggingface_hub": "models of the hub",
    "openai": "a judge on a server",
}
ESSENTIAL = ("torch", "numpy", "safetensors", "lazy-loader", "typer", "rich")
# What each extra of the package is for.
EXTRAS = {
    "drawings": "the drawings of the art world: world drawings",
    "studio": "the web page: studio",
    "search": "indexes of 100,000 LoRAs and more: library neighbours",
    "cluster": "many workers: engine=ray and engine=slurm",
    "adam8bit": "recipe.eight_bit=true: the state of AdamW in 8 bits",
    "effects": "experiments/metrics/effects.py --method catboost",
    "test": "the tests: make test",
    "docs": "the documentation: make docs",
    "dev": "development: tests, types, format",
}


@dataclass(frozen=True)
class Library:
    """A library that the package declares.

    Attributes:
        name: Its name on the package index.
        version: Installed version; "" if it is not installed.
        minimum: Declared minimum; "" without one.
        purpose: What it serves.
    """

    name: str
    version: str
    minimum: str
    purpose: str

    @property
    def fits(self) -> bool:
        """Whether it is installed in a version that is not older than the minimum."""
        return bool(self.version) and _numbers(self.version) >= _numbers(self.minimum)


@dataclass(frozen=True)
class Extra:
    """An extra of the package.

    Attributes:
        name: Its name, as in `pip install 'lorarar[docs]'`.
        purpose: What it is for.
        missing: Packages of it that are not installed or too old.
    """

    name: str
    purpose: str
    missing: tuple[str, ...]


def find_libraries() -> list[Library]:
    """Return the libraries that the package needs, in the order of their declaration."""
    declared = {name: minimum for name, minimum, extra in _requirements() if not extra}
    declared = declared or dict.fromkeys(PURPOSES, "")  # run from a folder that was never installed
    return [_library(name, minimum) for name, minimum in declared.items()]


def find_extras() -> list[Extra]:
    """Return the extras of the package, each with what it lacks here."""
    members: dict[str, list[Library]] = {}
    for name, minimum, extra in _requirements():
        if extra and name != "lorarar":
            members.setdefault(extra, []).append(_library(name, minimum))
    return [
        Extra(extra, EXTRAS.get(extra, ""), tuple(library.name for library in libraries if not library.fits))
        for extra, libraries in members.items()
    ]


def _library(name: str, minimum: str) -> Library:
    try:
        installed = version(name)
    except PackageNotFoundError:
        installed = ""
    return Library(name, installed, minimum, PURPOSES.get(name, ""))


def _requirements() -> Iterator[tuple[str, str, str]]:
    """Yield name, minimum and extra of each requirement; both are "" where there is none."""
    try:
        lines = requires("lorarar") or []
    except PackageNotFoundError:
        lines = []
    for line in lines:
        requirement, _, marker = line.partition(";")
        name = re.match(r"[\w.-]+", requirement)
        minimum = re.search(r">=\s*([\w.]+)", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        if name:
            yield name[0], minimum[1] if minimum else "", extra[1] if extra else ""


def _numbers(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (2, 13, 0) for "2.13.0+cpu"; a candidate counts as its release."""
    return tuple(int(number) for number in re.findall(r"\d+", re.split(r"[+a-zA-Z]", text)[0]))
