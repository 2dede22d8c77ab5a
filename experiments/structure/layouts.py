"""What differs between the two layouts of the package, and how a checkout's command line is run.

The old layout has its modules at the root of the package, the new one has them in rooms (`lorarar/storage`, ..).
Commands and configurations are written here in the new spelling and translated for a checkout of the old layout.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# New spelling -> old spelling, for whole words between the separators below: commands, options, keys, values, paths.
NAMES: Mapping[str, str] = {
    # mergers
    "layerwise": "invariant",
    "text_guided": "words",
    # commands and options
    "synthesise": "imagine",
    "world": "toyworld",
    "--init": "--start",
    # keys of configurations
    "init": "start",
    "weight_jitter": "spread",
    "synthetic_pairs": "imagined",
    "classifier": "reader",
    "loss_weights": "weights",
    "distillation": "described",
    "true_descriptions": "told",
    "--perturbations": "--nuisances",
    "perturbations": "nuisances",
    "perturbation": "nuisance",
    # keys of manifests and of headers
    "synthetic_prompts": "drawn",
    "init_sha256": "start_sha256",
}
# New folder -> old folder, for whole paths.
FOLDERS: Mapping[str, str] = {
    "lorarar/hypernetwork/networks": "data/embedded/mergers",
    "lorarar/evaluation/judge/embedded": "data/embedded/judge",
}
_SEPARATORS = re.compile(r"([/.=+])")
_INSIDE = Path(__file__).with_name("inside.py")
_LINKED = ("data", "configs", "lorarar")


@dataclass(frozen=True)
class Result:
    """What one command line came to: its exit code, and what it printed."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Trace:
    """What a process did while it ran commands.

    Attributes:
        functions: "file:qualified name" of each function of the package that was called.
        modules: files of the package whose body was executed.
        opened: file -> how often it was opened.
    """

    functions: tuple[str, ...]
    modules: tuple[str, ...]
    opened: Mapping[str, int]

    @property
    def files(self) -> tuple[str, ...]:
        """The files whose functions were called."""
        return tuple(sorted({name.partition(":")[0] for name in self.functions}))


@dataclass(frozen=True)
class Checkout:
    """A working copy of the repository."""

    root: Path

    @property
    def is_old(self) -> bool:
        """Whether it has the old layout."""
        return not (self.root / "lorarar" / "storage").is_dir()

    def spell(self, text: str) -> str:
        """Translate a word, an option or a path to this checkout's spelling."""
        return to_old(text) if self.is_old else text

    def spell_all(self, value: Any) -> Any:
        """Translate the keys and strings of a configuration."""
        if isinstance(value, Mapping):
            return {self.spell_all(key): self.spell_all(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.spell_all(entry) for entry in value]
        return self.spell(value) if isinstance(value, str) else value

    def link_into(self, folder: Path) -> None:
        """Make a working directory in which the checkout's configurations, data and networks are found."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _LINKED:
            (folder / name).symlink_to(self.root / name)

    def environment(self) -> dict[str, str]:
        """The environment of this checkout's processes: its own package, one thread, nothing from the network."""
        fixed = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled", "TRANSFORMERS_OFFLINE": "1"}
        return {**os.environ, **fixed, "PYTHONPATH": str(self.root)}

    def run(self, commands: Sequence[Sequence[str]], folder: Path) -> list[Result]:
        """Run command lines one after the other in one process, in the working directory ``folder``."""
        record = self._run_inside(commands, folder, trace=False)
        return [Result(**result) for result in record["results"]]

    def trace(self, command: Sequence[str], folder: Path) -> Trace:
        """Run one command line and record what it called and opened.

        Raises:
            RuntimeError: The command failed.
        """
        record = self._run_inside([command], folder, trace=True)
        result = Result(**record["results"][0])
        if result.code:
            raise RuntimeError(f"{self.root}: {' '.join(command)} ended with code {result.code}: {result.stderr}")
        return Trace(tuple(record["functions"]), tuple(record["modules"]), record["opened"])

    def _run_inside(self, commands: Sequence[Sequence[str]], folder: Path, *, trace: bool) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as exchange:
            asked, answered = Path(exchange, "commands.json"), Path(exchange, "record.json")
            asked.write_text(json.dumps([[self.spell(word) for word in command] for command in commands]))
            self._call([str(asked), str(answered), *(["--trace"] if trace else [])], folder)
            record: dict[str, Any] = json.loads(answered.read_text())
        return record

    def write_corpus(self, folder: Path) -> None:
        """Write the checkout's test corpus into a new folder, see inside.py."""
        self._call(["--corpus", str(folder)], folder.parent)

    def _call(self, words: Sequence[str], folder: Path) -> None:
        """Run inside.py with this checkout's package.

        Raises:
            RuntimeError: The process died.
        """
        # -P keeps this folder out of the module search path.
        call = [sys.executable, "-P", str(_INSIDE), *words]
        done = subprocess.run(call, cwd=folder, env=self.environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(
                f"{self.root}: {' '.join(words)} died with code {done.returncode}: {done.stderr[-2000:]}"
            )


def to_old(text: str) -> str:
    """Replace each word and folder of the new spelling by the old one; text of the old spelling stays as it is."""
    for new, old in FOLDERS.items():
        text = text.replace(new, old)
    return "".join(NAMES.get(part, part) for part in _SEPARATORS.split(text))
