"""Every merger, in one table. Callers ask for the kind, never for the name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lorarar.lora import LoRA
from lorarar.mergers.average import average
from lorarar.mergers.direct import direct
from lorarar.mergers.files import load_merger
from lorarar.merging import Coefficients

Kind = Literal["coefficients", "delta", "runtime"]


@dataclass(frozen=True)
class Merger:
    """One method.

    Args:
        name: Its key in the table; a learned merger's is the kind that its file names.
        kind: Its calling convention. "coefficients": call(loras, **needs) -> Coefficients, then `merge`. "delta":
            call(loras, **needs) -> LoRA. "runtime": acts while sampling.
        citation: Where it comes from.
        needs: Keyword arguments that `call` must get besides the LoRAs.
        call: The function.
    """

    name: str
    kind: Kind
    citation: str
    needs: tuple[str, ...]
    call: Callable[..., Any]


def learned(loras: Sequence[LoRA], *, merger_file: str | Path) -> Coefficients:
    """The coefficients of a learned merger that was saved to a file.

    Raises:
        FormatError: The file is no learned merger.
        ValueError: The merger does not fit the LoRAs.
    """
    coefficients: Coefficients = load_merger(merger_file)(loras)
    return coefficients


_TABLE = (
    Merger("direct", "coefficients", "arXiv 2311.13600, baseline", (), direct),
    Merger("average", "coefficients", "arXiv 2203.05482", (), average),
    Merger("constant", "coefficients", "ablation of arXiv 2412.05148", ("merger_file",), learned),
    Merger("paper", "coefficients", "LoRA.rar, arXiv 2412.05148", ("merger_file",), learned),
    Merger("residual", "coefficients", "lorarar; after arXiv 2412.05148", ("merger_file",), learned),
)
MERGERS: Mapping[str, Merger] = {merger.name: merger for merger in _TABLE}
