"""Choices: what the page holds, as data; from choices to one merge of files, and the command line that equals it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lorarar.mergers import FileMerge, MergeRequest, PairInputs, parse_blocks, parse_numbers, parse_options

# Goal -> its merger; None is the network that is shipped for the files' family, else the default rule.
GOALS: Mapping[str, str | None] = {"fast": None, "base": "ssr", "images": "ziplora", "words": "text_guided"}
# Tool -> the dialect to write, and the name that `lorarar.workflows.verify_file` has for the tool.
TOOLS: Mapping[str, tuple[str | None, str]] = {
    "ComfyUI": (None, "ComfyUI"),
    "A1111 / Forge": (None, "sd-scripts"),
    "diffusers": ("diffusers", "diffusers"),
}
# Size -> the part of the request that makes it.
SIZES: Mapping[str, Mapping[str, Any]] = {
    "full": {},
    "99.9 %": {"energy": 0.999},
    "99 %": {"energy": 0.99},
    "rank 32": {"rank": 32},
    "rank 16": {"rank": 16},
    "rank 8": {"rank": 8},
}
_FLAGS = {"keep_accelerators": "--merge-accelerators", "verify": "--no-verify", "blocks": "--block"}


@dataclass(frozen=True)
class Choices:
    """What the page holds beside the files: plain data, fit for JSON.

    Attributes:
        goal: A key of `GOALS`.
        merger: Method; "" takes that of the goal.
        network: Trained merger; "" takes that of the goal.
        weights: LoRA weight of each file; () is 1 for each.
        balance: How far the LoRAs are brought to one length, 0 to 1; None is the method's own.
        blocks: Lines "up_blocks.1=0.8" or "mid_block=1,0.5".
        text_encoder: Weight of the text encoders: one number, or one for each file; "" is 1.
        options: Settings of the method: "density=0.3, seed=1".
        base: Base model: a folder or a hub id.
        files_need_base: Whether the deltas of some files depend on the base (DoRA, IA3, OFT, GLoRA).
        content_images, style_images: Folders of images of the two concepts.
        content_description, style_description: The two concepts in words.
        name: Name of the result.
        tool: A key of `TOOLS`.
        dtype: Precision of the weights in the file.
        size: A key of `SIZES`.
    """

    goal: str = "fast"
    merger: str = ""
    network: str = ""
    weights: tuple[float, ...] = ()
    balance: float | None = None
    blocks: str = ""
    text_encoder: str = ""
    options: str = ""
    base: str = ""
    files_need_base: bool = False
    content_images: str = ""
    style_images: str = ""
    content_description: str = ""
    style_description: str = ""
    name: str = "merged"
    tool: str = "ComfyUI"
    dtype: str = "fp16"
    size: str = "full"

    @property
    def method(self) -> str | None:
        """The merger: the one that is named, else that of the goal; None is the default of the files."""
        return None if self.network else self.merger or GOALS[self.goal]

    def request(self) -> MergeRequest:
        """Return the request.

        Raises:
            ValueError: A text is not of its form.
        """
        method = self.method
        pair = PairInputs()
        if not self.merger and not self.network and self.goal == "images":
            pair = PairInputs(content_images=_path(self.content_images), style_images=_path(self.style_images))
        elif method == GOALS["words"]:
            pair = PairInputs(
                content_description=self.content_description.strip(), style_description=self.style_description.strip()
            )
        needs_base = self.files_need_base or MergeRequest(merger=method).optimises
        weights = None if set(self.weights) <= {1.0} else list(self.weights)
        encoder = parse_numbers(self.text_encoder, "the text encoders' weight") if self.text_encoder.strip() else None
        return MergeRequest(
            merger=method,
            network=self.network or None,
            weights=weights,
            blocks=parse_blocks(self.blocks),
            text_encoder=encoder,
            balance=self.balance,
            options=parse_options(self.options),
            base=self.base or None if needs_base else None,
            pair=pair,
            **SIZES[self.size],
        )

    def job(self, files: Sequence[str], output: Path) -> FileMerge:
        """Return the merge of files.

        Args:
            files: LoRA files or hub ids, in order.
            output: File to write.

        Raises:
            ValueError: No file is given, or a text is not of its form.
        """
        if not files:
            raise ValueError("expected two or more LoRAs, found none: drop files at the top of the page")
        request = self.request()
        pair = PairInputs(**{**vars(request.pair), "runs": output.parent / f"{output.stem}.run"})
        request = MergeRequest(**{**vars(request), "pair": pair})
        dialect: Any = TOOLS[self.tool][0]
        return FileMerge(list(files), output, request, dialect, self.dtype)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Choices:
        """Return the choices of plain data, such as a line of the history; unknown names are left out."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        return cls(**{**known, "weights": tuple(known.get("weights", ()))})


def merge_command(job: FileMerge) -> str:
    """Return the command line that makes the same merge.

    Args:
        job: The merge; a network in memory has no command line.
    """
    words = ["lorarar", "merge", *map(str, job.files), "-o", str(job.output), *_options(job.request, MergeRequest())]
    runs = job.output.parent / f"{job.output.stem}.run"  # what the command takes by itself
    words += _options(job.request.pair, PairInputs(runs=runs))
    return shlex.join([*words, *_options(job, FileMerge((), job.output))])


def parse_columns(text: str) -> list[list[float]]:
    """Return the weights of each column of a preview: "1,0.5; 1,1" gives two columns.

    Raises:
        ValueError: An entry is not a number.
    """
    return [parse_numbers(part, "the weights of a column") for part in filter(None, map(str.strip, text.split(";")))]


def _options(value: object, default: object) -> Iterator[str]:
    """Yield the options of the fields in which a request differs from the default."""
    for name, given in vars(value).items():
        if name in ("files", "output", "request", "pair") or given in (getattr(default, name), {}):
            continue
        flag = _FLAGS.get(name, "--" + name.replace("_", "-")) if name != "options" else "--option"
        if isinstance(given, Mapping):
            for key, number in given.items():
                yield from (flag, f"{key}={_spelled(number)}")
        else:
            yield from (flag,) if isinstance(given, bool) else (flag, _spelled(given))


def _spelled(value: Any) -> str:
    """Return a value as the command line takes it: "1,0.5" for [1.0, 0.5]."""
    if isinstance(value, list | tuple):
        return ",".join(map(_spelled, value))
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _path(text: str) -> Path | None:
    return Path(text) if text else None
