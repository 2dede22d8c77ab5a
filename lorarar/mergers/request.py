"""Requests: what a merge does, as data. The command line and Python create the same request."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lorarar.mergers.table import DEFAULT, MERGERS, Options, find_merger

if TYPE_CHECKING:
    from lorarar.formats import Format
    from lorarar.hypernetwork import Network


@dataclass(frozen=True)
class PairInputs:
    """Inputs of mergers that optimise each pair on a base model.

    Attributes:
        content_images, style_images: Folders of images, for methods that learn from images. The caption of `image.png`
            is `image.txt` beside it, else the prompt.
        content_prompt, style_prompt: Prompt that each LoRA was trained with, such as "a sks cat" and "oil painting
            style"; None takes the trigger words of its file.
        content_description, style_description: Descriptions that the base understands, for methods that learn from
            text, such as "a red cat with white dots" and "light blue grid style".
        describe: Back end of the judge that puts into words what each LoRA draws alone, such as "tiny" or
            "openai:MODEL@URL", where a description is not given; None describes none.
        init: Trained merger whose coefficients the optimisation starts from: a path, a hub id or a loaded network.
            "auto" starts from that merger's coefficients, None from 1.
        runs: Folder for checkpoints and settings, from which an interrupted optimisation resumes; None saves none.
    """

    content_images: Path | None = None
    style_images: Path | None = None
    content_prompt: str | None = None
    style_prompt: str | None = None
    content_description: str = ""
    style_description: str = ""
    describe: str | None = None
    init: str | Path | Network | None = None
    runs: Path | None = None

    def values(self, needs: Literal["images", "descriptions", "init"]) -> dict[str, object]:
        """Return the values of one sort of input, by attribute.

        Args:
            needs: The sort of input.
        """
        names = {
            "images": ("content_images", "style_images"),
            "descriptions": ("content_description", "style_description", "describe"),
            "init": ("init",),
        }
        return {name: getattr(self, name) for name in names[needs]}

    def missing(self, needs: Literal["images", "descriptions"]) -> list[str]:
        """Return the names of the inputs of one sort that are not given; `describe` stands in for descriptions.

        Args:
            needs: The sort of input.
        """
        if needs == "descriptions" and self.describe:
            return []
        return [name for name, value in self.values(needs).items() if not value and name != "describe"]


@dataclass(frozen=True)
class MergeRequest:
    """How LoRAs are merged.

    Attributes:
        merger: A name in `lorarar.mergers.MERGERS`. None: the network given as `network`, else the one that is shipped
            for the LoRAs' family and fits them, else "auto".
        network: A learned merger: a file, a folder that `save_pretrained` wrote, a hub id, or a loaded network.
        kinds: "content" or "style" for each LoRA, for networks that take any number of them. With None two LoRAs are
            content and style; of more, each is what its file states; where one file states nothing, the first is the
            content.
        weights: LoRA weight of each LoRA; None is 1 for all.
        blocks: Beginning of a layer path -> weight of these layers, one number or one for each LoRA.
        text_encoder: Weight of the layers of the text encoders, one number or one for each LoRA.
        balance: How far the deltas of each layer are brought to one length before they are merged, 0 (not at all) to 1;
            `weights` multiply them afterwards. None is the merger's own default, 0 for all but "auto".
        keep_accelerators: Whether LoRAs for sampling in a few steps (LCM, Lightning, Turbo ..), recognised by name, are
            added unchanged, at their weights, rather than merged like the others.
        svc: Calibrate the singular values of the merge with this lower bound of their amplification, above 0, such as
            0.5 for two LoRAs; see `lorarar.mergers.methods.svc`. None does not.
        options: Own settings of the merger, such as {"density": 0.3}.
        rank: Largest rank of a merged layer; layers of a larger rank are truncated, and the error is reported.
        energy: Share of each layer's squared norm to keep, 0 to 1; the layer is truncated to the smallest rank that
            keeps it.
        dense: Whether mergers of the kind "delta" keep their dense deltas. False truncates each to the sum of the
            inputs' ranks where neither `rank` nor `energy` is given; the error is reported. Other mergers are exact at
            that rank, and unaffected.
        base: The base model: a folder, a file or a hub id. For files whose delta depends on its weights (DoRA, IA3,
            OFT, GLoRA) and for mergers that optimise each pair.
        pair: Inputs of mergers that optimise each pair.
        device: Where to compute: "cpu", "cuda", "mps", or "auto" for CUDA where it is present, else the CPU; mergers
            that optimise each pair also take MPS. The merge itself is returned on the CPU. On another device the last
            bits of a result can differ.
        allow_extrapolation: Whether a network may merge LoRAs that lie far outside what it was trained on.
    """

    merger: str | None = None
    network: str | Path | Network | None = None
    kinds: Sequence[str] | None = None
    weights: Sequence[float] | None = None
    blocks: Mapping[str, float | Sequence[float]] = field(default_factory=dict)
    text_encoder: float | Sequence[float] | None = None
    balance: float | None = None
    keep_accelerators: bool = True
    svc: float | None = None
    options: Options = field(default_factory=dict)
    rank: int | None = None
    energy: float | None = None
    dense: bool = False
    base: str | Path | None = None
    pair: PairInputs = PairInputs()
    device: str = "auto"
    allow_extrapolation: bool = False

    @property
    def optimises(self) -> bool:
        """Whether the merger computes on the base model."""
        return bool(self.merger and find_merger(self.merger).on_base)

    @property
    def weights_base(self) -> str | Path | None:
        """The base whose weights some files need; None for a hub id, which an optimiser loads but files cannot use."""
        return None if self.optimises and self.base and not Path(self.base).is_dir() else self.base

    def read_paths(self) -> list[str | Path]:
        """Return the files, folders and hub ids that the merge reads beside the LoRAs."""
        init = None if self.pair.init == DEFAULT else self.pair.init
        given = (self.base, self.network, init, self.pair.content_images, self.pair.style_images)
        return [path for path in given if isinstance(path, str | Path)]

    def check(self) -> None:
        """Check what can be checked before any file is read.

        Raises:
            ValueError: The merger is unknown, or the request has an input that the merger does not use.
        """
        if self.merger and self.network:
            raise ValueError(
                f"expected `merger` or `network`, found both ({self.merger}, {self.network}): drop one of them"
            )
        if self.dense and (self.rank is not None or self.energy is not None):
            raise ValueError("expected `dense=True` or a truncation, found both: drop `dense`, or `rank` and `energy`")
        method = find_merger(self.merger).pair if self.merger else None
        if self.balance is not None and not 0 <= self.balance <= 1:
            raise ValueError(
                f"expected `balance` from 0 (leave the LoRAs) to 1 (bring them to one length), found {self.balance:g}: "
                "choose a number between"
            )
        if self.svc is not None and not 0 < self.svc < math.inf:
            raise ValueError(f"expected `svc` above 0, found {self.svc:g}: give a number such as 0.5")
        self._check_pair_inputs(method.needs if method else None)

    def check_pair(self) -> None:
        """Check that a merger that computes on a base model has its inputs.

        Raises:
            ValueError: The base model or an input of a concept is missing.
        """
        merger = find_merger(self.merger) if self.merger else None
        if merger is None or not merger.on_base:
            return
        names = [*([] if self.base else ["base"]), *(self.pair.missing(merger.pair.needs) if merger.pair else [])]
        missing = [f"`{name}`" for name in names]
        if missing:
            words = [name for name in names if name.endswith("_description")]
            described = f"; `describe` lets a model write the description{'s' * (len(words) > 1)}" if words else ""
            raise ValueError(f"{merger.work}, and not all of these are given: give {', '.join(missing)}{described}")

    def _check_pair_inputs(self, needs: str | None) -> None:
        """Refuse inputs that the merger would ignore."""
        pairs = {name: info.pair for name, info in MERGERS.items() if info.pair}
        by_input: dict[Literal["images", "descriptions", "init"], list[str]] = {
            "images": [name for name, pair in pairs.items() if pair.needs == "images"],
            "descriptions": [name for name, pair in pairs.items() if pair.needs == "descriptions"],
            "init": list(pairs),
        }
        for kind, users in by_input.items():
            given = [name for name, value in self.pair.values(kind).items() if value]
            used = needs == kind or (kind == "init" and needs is not None)
            if given and not used:
                remedy = "drop it" if self.merger or self.network else f"give one, such as `merger={users[0]}`"
                found = f"the merger {self.merger}" if self.merger else "a network" if self.network else "no merger"
                raise ValueError(
                    f"expected `{given[0]}` only with the mergers {', '.join(users)}, found {found}: {remedy}"
                )


@dataclass(frozen=True)
class FileMerge:
    """A merge from files to a file.

    Attributes:
        files: One or more LoRA files or hub ids; two are content and style, in this order. `split_pairs` also takes
            pairs for high and low noise, "HIGH+LOW".
        output: File to write.
        request: How the LoRAs are merged.
        format: A dialect as `lorarar.formats.save` takes it; None is the one that the tools of the LoRAs' family read.
        dtype: Precision of the weights in the file, "fp16", "bf16" or "fp32".
        save_coefficients: File for every coefficient that was applied; None writes none.
        force: Whether existing files may be replaced.
        verify: Whether the file is read again and compared with the merge.
    """

    files: Sequence[str | Path]
    output: Path
    request: MergeRequest = MergeRequest()
    format: Format | None = None
    dtype: str = "fp16"
    save_coefficients: Path | None = None
    force: bool = False
    verify: bool = True
