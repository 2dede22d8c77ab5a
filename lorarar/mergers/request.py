"""Requests: what a merge is to do, as data. Command line and Python make the same request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lorarar.mergers.catalogue import CATALOGUE, Options, find_merger

if TYPE_CHECKING:
    from lorarar.formats import Format
    from lorarar.hypernetwork import Network


@dataclass(frozen=True)
class PairInputs:
    """Inputs of mergers that optimise each pair on a base model.

    Attributes:
        content_images, style_images: Folders of images, for methods that learn from images. `image.txt` beside
            `image.png` is that image's caption; the caption of the others is the prompt.
        content_prompt, style_prompt: What each LoRA was trained with, such as "a sks cat" and "oil painting style";
            None takes the trigger words of its file.
        content_description, style_description: For methods that learn from text: both concepts in words that the base
            understands, such as "a red cat with white dots" and "light blue grid style".
        init: A trained merger whose coefficients the optimisation starts from: a path, a hub id or a loaded network;
            None starts from 1.
        runs: Folder for checkpoints and settings, from which an interrupted optimisation resumes; None keeps none.
    """

    content_images: Path | None = None
    style_images: Path | None = None
    content_prompt: str | None = None
    style_prompt: str | None = None
    content_description: str = ""
    style_description: str = ""
    init: str | Path | Network | None = None
    runs: Path | None = None

    def given(self, needs: Literal["images", "descriptions", "init"]) -> dict[str, object]:
        """Return the values of one kind of input, by attribute."""
        names = {
            "images": ("content_images", "style_images"),
            "descriptions": ("content_description", "style_description"),
            "init": ("init",),
        }
        return {name: getattr(self, name) for name in names[needs]}


@dataclass(frozen=True)
class MergeRequest:
    """How LoRAs are merged.

    Attributes:
        merger: A name in the catalogue. None: the network given as `hypernetwork`, else the one that is shipped for the
            LoRAs' family, else "direct".
        hypernetwork: A learned merger: a file, a folder that `save_pretrained` wrote, a hub id, or a loaded network.
        kinds: "content" or "style" for each LoRA, for networks that take any number of them. None: two are content and
            style; of more, each is what its file says, or, where one says nothing, the first is the content.
        weights: One number for each LoRA; None is 1 for all.
        blocks: Beginning of a layer path -> one number, or one for each LoRA.
        text_encoder: One number, or one for each LoRA, for the layers of the text encoders.
        options: The merger's own settings, such as {"density": 0.3}.
        rank: Largest rank of a merged layer; larger ones are truncated, and the error is reported.
        energy: Share of each layer's squared norm to keep, 0 to 1: the smallest rank that does.
        base: The base model: a folder, a file or a hub id. For files whose delta depends on its weights (DoRA, IA3,
            OFT, GLoRA) and for mergers that optimise each pair.
        pair: Inputs of mergers that optimise each pair.
        device: Where to compute.
    """

    merger: str | None = None
    hypernetwork: str | Path | Network | None = None
    kinds: Sequence[str] | None = None
    weights: Sequence[float] | None = None
    blocks: Mapping[str, float | Sequence[float]] = field(default_factory=dict)
    text_encoder: float | Sequence[float] | None = None
    options: Options = field(default_factory=dict)
    rank: int | None = None
    energy: float | None = None
    base: str | Path | None = None
    pair: PairInputs = PairInputs()
    device: str = "cpu"

    @property
    def optimises(self) -> bool:
        """Whether the merger optimises each pair on the base model."""
        return bool(self.merger and find_merger(self.merger).pair)

    def check(self) -> None:
        """Check what can be checked before any file is read.

        Raises:
            ValueError: The merger is unknown, or something is given that it does not use.
        """
        if self.merger and self.hypernetwork:
            raise ValueError(
                f"expected a merger or a hypernetwork, found both ({self.merger}, {self.hypernetwork}): drop one"
            )
        method = find_merger(self.merger).pair if self.merger else None
        self._check_pair_inputs(method.needs if method else None)

    def check_pair(self) -> None:
        """Check that a merger that optimises each pair has its inputs.

        Raises:
            ValueError: The base model or an input of a concept is missing.
        """
        method = find_merger(self.merger).pair if self.merger else None
        if method is None:
            return
        wanted = {"base": self.base, **self.pair.given(method.needs)}
        missing = [option(name) for name, value in wanted.items() if not value]
        if missing:
            raise ValueError(
                f"{self.merger} optimises each pair with the base model and the concepts' {method.needs}: give "
                f"{', '.join(missing)}"
            )

    def _check_pair_inputs(self, needs: str | None) -> None:
        """Refuse inputs that the merger would ignore."""
        pairs = {name: info.pair for name, info in CATALOGUE.items() if info.pair}
        by_input: dict[Literal["images", "descriptions", "init"], list[str]] = {
            "images": [name for name, pair in pairs.items() if pair.needs == "images"],
            "descriptions": [name for name, pair in pairs.items() if pair.needs == "descriptions"],
            "init": list(pairs),
        }
        for kind, users in by_input.items():
            given = [name for name, value in self.pair.given(kind).items() if value]
            if given and needs != kind and not (kind == "init" and needs):
                raise ValueError(
                    f"expected {option(given[0])} with --merger {', '.join(users)} alone, found --merger {self.merger}"
                )


@dataclass(frozen=True)
class FileMerge:
    """A merge from files to a file.

    Attributes:
        files: One or more LoRA files; two are content and style, in this order.
        output: The file to write.
        request: How they are merged.
        format: "kohya", "diffusers" or "peft"; None is what the tools of the LoRAs' family read.
        dtype: "fp16", "bf16" or "fp32", of the weights in the file.
        save_coefficients: Where to write every coefficient that was applied.
        force: Whether existing files may be replaced.
    """

    files: Sequence[Path]
    output: Path
    request: MergeRequest = MergeRequest()
    format: Format | None = None
    dtype: str = "fp16"
    save_coefficients: Path | None = None
    force: bool = False


def option(name: str) -> str:
    """Return the command-line option of an attribute: "--content-images"."""
    return "--" + name.replace("_", "-")
