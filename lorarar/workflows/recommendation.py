"""Recommendation: what LoRA files are, where they collide, and how to merge them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from lorarar.formats import load_all, plan_file
from lorarar.formats.inspection import LoRAComparison, compare_loras
from lorarar.library import kind_of
from lorarar.lora import Dense, LoRA, LowRank, block, check_same_shapes, lora_norm
from lorarar.lora.families import FAMILIES, check_same_family
from lorarar.mergers import DEFAULT, MERGERS, MergeRequest, accelerator, choose, describe_merger, family_of, kept_names
from lorarar.storage import FormatError, printable

_SAME = 0.9  # cosine from which two files are taken for two states of one training
_UNEQUAL = 3.0  # ratio of lengths from which a sentence says so
_SURE = 0.9  # probability from which a kind decides the order
_BLOCKS = 3
_RANKS = {"content": 0, "": 1, "style": 2, "accelerator": 3}


@dataclass(frozen=True)
class LoRAFacts:
    """What a file is.

    Attributes:
        file: The file.
        family: Label of its base model; "unknown" without one.
        kind: "content", "style", "accelerator", or "" where nothing tells.
        source: How the kind is known: "the header", "the spectrum", "the name" or "".
        probability: Probability of the kind; 1 where the header states it, None for "" and for a name.
        rank: Largest rank; None where every layer is dense.
        length: Frobenius norm of all deltas together.
    """

    file: str
    family: str
    kind: str
    source: str
    probability: float | None
    rank: int | None
    length: float

    def text(self) -> str:
        """Return the facts as a line."""
        how = f", by {self.source}" if self.source else ""
        sure = f" {self.probability:.2f}" if self.source == "the spectrum" else ""
        kind = f"{self.kind}{how}{sure}" if self.kind else "content or style unknown"
        rank = "dense" if self.rank is None else f"rank {self.rank}"
        return f"{self.file}: {self.family}, {kind}, {rank}, length {self.length:.3g}"


@dataclass(frozen=True)
class BlockCollision:
    """Where two LoRAs collide: a block, the mean cosine of its layers' deltas, and how far they share inputs.

    Attributes:
        block: Name of the block.
        cosine: Mean cosine of the deltas.
        inputs: Mean squared cosine of the row spaces' principal angles, 0 to 1; None for dense layers.
        by_chance: Its expected value for random subspaces.
    """

    block: str
    cosine: float
    inputs: float | None
    by_chance: float | None

    def text(self) -> str:
        """Return the block as text."""
        shared = f", same inputs {self.inputs:.2f}, {self.by_chance:.2f} by chance" if self.inputs is not None else ""
        return f"{self.block} (cosine {self.cosine:+.2f}{shared})"


@dataclass(frozen=True)
class Collision:
    """How two LoRAs meet.

    Attributes:
        files: The two files.
        cosine: Cosine of the two as a whole, -1 to 1.
        ratio: The longer's length over the shorter's.
        blocks: The blocks, those that contribute most to the cosine first.
    """

    files: tuple[str, str]
    cosine: float
    ratio: float
    blocks: tuple[BlockCollision, ...]


@dataclass(frozen=True)
class Recommendation:
    """What LoRA files are and how to merge them.

    Attributes:
        files: What each file is, in the order given.
        order: Numbers of the files in the order of the command: contents, then styles.
        collisions: How each two of them meet, accelerators left out.
        method: A key of `lorarar.MERGERS`.
        command: The command that merges them.
        reasons: Why, one sentence each.
    """

    files: tuple[LoRAFacts, ...]
    order: tuple[int, ...]
    collisions: tuple[Collision, ...]
    method: str
    command: str
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the recommendation as plain data for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Return the recommendation as text."""
        lines = [facts.text() for facts in self.files]
        for meeting in self.collisions:
            names = " and ".join(Path(file).name for file in meeting.files)
            lines.append(f"{names}: lengths 1 to {meeting.ratio:.3g}, cosine {meeting.cosine:+.3f}")
            most = ", ".join(part.text() for part in meeting.blocks[:_BLOCKS])
            lines += [f"  most in {most}"] if most else []
        lines += [f"take {self.method}:", f"  {self.command}", *(f"- {reason}" for reason in self.reasons)]
        return "\n".join(map(printable, lines))


def recommend(files: Sequence[str | Path], base: str | Path | None = None) -> Recommendation:
    """Recommend how to merge LoRA files.

    Args:
        files: LoRA files or hub ids.
        base: The base model, for files whose deltas depend on it (DoRA, IA3, OFT, GLoRA).

    Raises:
        FormatError: A file cannot be read.
        ValueError: The files are for different base models.
    """
    loras = load_all(files, base)
    check_same_family(loras)
    check_same_shapes(loras)
    facts = [_facts(str(file), lora) for file, lora in zip(files, loras, strict=True)]
    order = sorted(range(len(files)), key=lambda i: _RANKS[_sure_kind(facts[i])])
    others = [i for i in order if facts[i].kind != "accelerator"] or order[:1]
    collisions = [_collision(facts[i], facts[j], compare_loras(loras[i], loras[j])) for i, j in combinations(others, 2)]
    choice = choose([loras[i] for i in others], MergeRequest())
    same = bool(collisions) and min(meeting.cosine for meeting in collisions) > _SAME
    alike = len(others) > 1 and {_sure_kind(facts[i]) for i in others} in ({"content"}, {"style"})
    named = "average" if same else DEFAULT if alike else None
    method = MERGERS[named] if named else choice.method
    command = f"lorarar merge {shlex.join(facts[i].file for i in order)} -o merged.safetensors"
    command += f" --base {shlex.quote(str(base))}" if base else ""
    command += " --format kohya" if _exceeds_default_format(loras) else ""
    command += f" --merger {named}" if named else ""
    reasons = [*_reasons(facts, order, collisions)]
    if same:
        reasons.append("They are nearly the same, as states of one training are: their mean keeps one length.")
    elif alike:
        kind = facts[others[0]].kind
        reasons.append(
            f"All are {kind}s; networks are trained on a content and a style, so a rule ({named}) weighs them."
        )
    elif choice.network:
        reasons.append(
            f"A network is shipped for {facts[0].family} that fits these files: none is far outside its training."
        )
    elif len(others) > 1:
        does = describe_merger(method.name).does
        reasons.append(
            f"No network that fits is shipped for {facts[0].family}, so a rule merges ({method.name}): {does}"
        )
    return Recommendation(tuple(facts), tuple(order), tuple(collisions), method.name, command, tuple(reasons))


def _exceeds_default_format(loras: Sequence[LoRA]) -> bool:
    """Tell whether a merge of these LoRAs has dense layers that the default dialect of their family cannot hold."""
    layers = {path: layer for lora in loras for path, layer in lora.layers.items()}
    layers |= {path: layer for lora in loras for path, layer in lora.layers.items() if isinstance(layer, Dense)}
    try:
        plan_file(LoRA(layers, family=family_of(loras), names=kept_names(loras)), "merged.safetensors")
    except FormatError:
        return True
    return False


def _facts(file: str, lora: LoRA) -> LoRAFacts:
    word, told = accelerator(lora), None
    if word:
        kind, source = "accelerator", "the name"
    else:
        told = kind_of(lora)
        kind = told.kind if told else ""
        source = ("the header" if told.stated else "the spectrum") if told else ""
    rank = max((delta.rank for delta in lora.layers.values() if isinstance(delta, LowRank)), default=None)
    length = lora_norm(lora)
    family = FAMILIES[lora.family].label if lora.family else "unknown base model"
    return LoRAFacts(file, family, kind, source, told.probability if told else None, rank, length)


def _sure_kind(facts: LoRAFacts) -> str:
    """Return the kind, "" where it is not sure."""
    return facts.kind if facts.probability is None or facts.probability >= _SURE else ""


def _collision(a: LoRAFacts, b: LoRAFacts, comparison: LoRAComparison) -> Collision:
    blocks: dict[str, list[Any]] = {}
    for overlap in comparison.overlaps:
        blocks.setdefault(block(overlap.layer), []).append(overlap)
    largest = sorted(blocks.items(), key=lambda item: -abs(sum(overlap.share for overlap in item[1])))
    parts = []
    for name, members in largest:
        shared = [(o.inputs, o.inputs_by_chance) for o in members if o.inputs is not None]
        inputs, chance = (fmean(column) for column in zip(*shared, strict=True)) if shared else (None, None)
        parts.append(BlockCollision(name, fmean(o.cosine for o in members), inputs, chance))
    short, long = sorted((a.length, b.length))
    return Collision((a.file, b.file), comparison.cosine, long / short if short else math.inf, tuple(parts))


def _reasons(facts: Sequence[LoRAFacts], order: Sequence[int], collisions: Sequence[Collision]) -> Iterator[str]:
    """Yield sentences about the files."""
    if list(order) != sorted(order):
        yield "The content comes first, then the style: the command has them in this order."
    for entry in facts:
        if entry.kind == "accelerator":
            yield f"{Path(entry.file).name} is for sampling in few steps: the merge adds it unchanged, at its weight."
    for meeting in collisions:
        first, second = (Path(file).name for file in meeting.files)
        if meeting.ratio > _UNEQUAL:
            yield (
                f"{first} and {second} differ {meeting.ratio:.3g}-fold in length: a plain sum shows mostly the longer."
            )
        if abs(meeting.cosine) < 1 - _SAME:
            yield f"{first} and {second} are nearly orthogonal: as weights, neither cancels the other."
        elif meeting.cosine <= _SAME:
            verb = "add to" if meeting.cosine > 0 else "work against"
            yield f"{first} and {second} {verb} each other, most in {meeting.blocks[0].block}."
