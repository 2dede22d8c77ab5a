"""Accelerators: LoRAs that let a base sample in a few steps, which a merge keeps as they are.

LCM, Lightning, Turbo, Hyper, DMD and the like are stacked on contents and styles. A merger that scaled or pruned one
would break it. Only the name of the file and the title in its header tell them apart; `experiments/accelerators` counts
the errors. A merge often has the names of its inputs in its own name and title, so the names of its inputs decide.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from lorarar.lora import InputWeights, LoRA, input_weights, label, merge_exactly, weight_loras
from lorarar.mergers.balance import balance_loras
from lorarar.mergers.methods.direct import direct
from lorarar.mergers.request import MergeRequest

_TITLES = ("ss_output_name", "modelspec.title")
_INPUTS = "modelspec.merged_from"  # lorarar and sd-scripts write the names or titles of several inputs there
# Words that say it alone, and words that say it beside a number of steps, or beside nothing but words of a base.
_ALONE = re.compile(
    r"lcm|dmd2|tcd|lightx2v|causvid|accvid(eo)?|animatelcm|hypersd|fastwan|selfforcing|phasedconsistency|sdxlflash"
)
_METHODS = frozenset(("lightning", "turbo", "hyper", "flash", "dmd", "pcm", "schnell", "distill", "distilled"))
_STEPS = re.compile(r"(1|2|3|4|6|8|12|16)steps?|steps?distill(ed|ation)?|cfgdistill(ed|ation)?")
_BASES = re.compile(
    r"lora|lokr|sd|xl|sdxl|sd15|sdv1|sd3|flux\d?|dev|alpha|beta|qwen|image|edit|wan\d*|ltxv?|ltx\d|video|hunyuan|t2v|i2v|"
    r"ic|b|base|model|weights?|pytorch|safetensors|comfy(ui)?|diffusers|fp\d+|bf\d+|rank\d*|dim\d*|high|low|noise|cfg|"
    r"v?\d+[bkx]?|a\d+b|example|test"
)


@dataclass(frozen=True)
class Split:
    """Inputs of a merge, the accelerators among them apart.

    Attributes:
        others: The LoRAs to merge, in order.
        request: How these are merged.
        kept: The accelerators, weights folded in.
        places: Numbers of the accelerators among all inputs.
        weights: Weights of all inputs; None without an accelerator.
        notes: What was recognised.
    """

    others: Sequence[LoRA]
    request: MergeRequest
    kept: Sequence[LoRA] = ()
    places: frozenset[int] = frozenset()
    weights: InputWeights | None = None
    notes: tuple[str, ...] = ()

    def join(self, merged: LoRA) -> LoRA:
        """Return a merge of the others with the accelerators added, unchanged."""
        if not self.kept:
            return merged
        loras = [merged, *self.kept]
        return replace(merged, layers=merge_exactly(loras, direct(loras)).layers)


def split_accelerators(loras: Sequence[LoRA], request: MergeRequest) -> Split:
    """Set accelerators apart from what is merged; where all are accelerators, they are summed.

    Args:
        loras: The inputs, in order.
        request: How they are merged. Weights, blocks and kinds are those of all inputs.
    """
    return set_apart(loras, request, [accelerator(lora) if request.keep_accelerators else "" for lora in loras])


def set_apart(loras: Sequence[LoRA], request: MergeRequest, words: Sequence[str]) -> Split:
    """Set the accelerators that are named apart from what is merged; where all are accelerators, they are summed.

    Args:
        loras: The inputs, in order.
        request: How they are merged. Weights, blocks and kinds are those of all inputs.
        words: The word by which each input is an accelerator, or "".
    """
    if not any(words) or len(loras) < 2:
        return Split(loras, request)
    weights = input_weights(loras, request.weights, request.blocks, request.text_encoder)
    stay = [i for i, word in enumerate(words) if not word] or [0]
    own: dict[str, object] = {
        "weights": [weights.weights[i] for i in stay],
        "blocks": {name: [numbers[i] for i in stay] for name, numbers in weights.blocks.items()},
        "text_encoder": [weights.text_encoder[i] for i in stay],
    }
    if request.kinds and len(request.kinds) == len(loras):
        own["kinds"] = [request.kinds[i] for i in stay]
    if all(words) or (len(stay) == 1 and not request.merger and not request.network):
        own |= {"merger": "direct", "network": None, "kinds": None, "options": {}, "balance": 0.0}
    own["keep_accelerators"] = False
    places = frozenset(range(len(loras))) - frozenset(stay)
    notes = [
        f"{label(loras[i], i)} is an accelerator ({words[i]}): added unchanged, not merged" for i in sorted(places)
    ]
    kept = [lora for i, lora in enumerate(weight_loras(loras, weights)) if i in places]
    others = [loras[i] for i in stay]
    return Split(others, replace(request, **own), kept, places, weights, tuple(notes))  # type: ignore[arg-type]


def place_loras(loras: Sequence[LoRA], request: MergeRequest) -> list[LoRA]:
    """Return the LoRAs that a merger of the kind "runtime" composes while sampling: balanced, then weighted.

    Accelerators are weighted alone.

    Args:
        loras: The inputs, in order.
        request: Balance, 0 where it is None, weights, blocks and text encoder.

    Raises:
        ValueError: Weights do not fit the LoRAs.
    """
    weights = input_weights(loras, request.weights, request.blocks, request.text_encoder)
    others = [i for i, lora in enumerate(loras) if not accelerator(lora)]
    balanced, _ = balance_loras([loras[i] for i in others], request.balance or 0.0)
    placed = dict(zip(others, balanced, strict=True))
    return weight_loras([placed.get(i, lora) for i, lora in enumerate(loras)], weights)


def accelerator(lora: LoRA) -> str:
    """Return the word by which a LoRA is an accelerator, or "". A merge is one if all of its inputs are.

    >>> accelerator(LoRA({}, name="sdxl_lightning_4step_lora.safetensors"))
    'lightning'
    >>> accelerator(LoRA({}, name="lightning_bolt_v1"))
    ''
    """
    inputs = lora.metadata.get(_INPUTS, "")
    if "," in inputs:
        words = [_in_name(name) for name in re.split("[,+]", inputs)]
        return words[0] if all(words) else ""
    names = [lora.name.removesuffix(".safetensors"), *(lora.metadata.get(key, "") for key in _TITLES)]
    return next(filter(None, map(_in_name, names)), "")


def _in_name(name: str) -> str:
    words = re.findall(r"[a-z]+\d*[a-z]*|\d+[a-z]*", re.sub(r"z[ _-]*image[ _-]*turbo", "zimage", name.lower()))
    joined = [*words, *(a + b for a, b in pairwise(words))]
    alone = next((word for word in joined if _ALONE.fullmatch(word)), "")
    method = next((word for word in words if word in _METHODS), "")
    few = next((word for word in joined if _STEPS.fullmatch(word)), "")
    bare = all(word in _METHODS or _BASES.fullmatch(word) for word in words)
    if alone or (method and (few or bare)):
        return alone or method
    return few if "lora" in words else ""
