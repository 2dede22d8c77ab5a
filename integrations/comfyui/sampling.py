"""Node of methods that act while sampling (K-LoRA, windows and others), by ComfyUI's hooks.

A hook adds the layers that act in the same steps, at strength 1 in these steps and 0 in the others. The number of the
step comes from the noise levels of the sampler, so that the choice of each layer and step is that of
`lorarar.mergers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import comfy.hooks
import comfy.sd
import torch

from lorarar.formats import load_all, trigger_phrases
from lorarar.lora import Layer, LoRA, LowRank, is_text_encoder, label
from lorarar.lora.families import check_same_family
from lorarar.mergers import MERGERS, MergeRequest, parse_options, place_loras, split_accelerators
from lorarar.mergers.methods import Step, add_deltas

from .shared import (
    CATEGORY,
    NONE,
    Entry,
    Inputs,
    MergedLoRA,
    chosen,
    lora_inputs,
    merge_request,
    path_of,
    shown_progress,
    state_of,
)

Schedule = Sequence[tuple[LoRA, ...] | Step]
_CLOSE = 1e-4  # relative difference of two noise levels that are one


class StepKeyframes(comfy.hooks.HookKeyframeGroup):  # type: ignore[misc]
    """Strength of a hook by sampling step: 1 in some steps, 0 in the others.

    Args:
        acts: Whether the hook acts, for each step; a sampler with another number of steps takes the nearest share.
    """

    def __init__(self, acts: Sequence[bool] = (True,)) -> None:
        super().__init__()
        self.acts, self.step = tuple(acts), 0

    @property
    def strength(self) -> float:
        """Strength in the current step."""
        return float(self.acts[self.step])

    def reset(self) -> None:
        """Return to the first step."""
        self.step = 0

    def clone(self) -> StepKeyframes:
        """Return a copy in the first step."""
        return StepKeyframes(self.acts)

    def prepare_current_keyframe(self, curr_t: torch.Tensor, transformer_options: Mapping[str, Any]) -> bool:
        """Go to the step of a noise level, and return whether the strength changes.

        Args:
            curr_t: Noise level of the call, ().
            transformer_options: Holds the noise levels of the sampler as "sample_sigmas", (steps + 1,).
        """
        before, levels = self.strength, transformer_options["sample_sigmas"][:-1]
        step = max(int((levels >= curr_t.to(levels) * (1 - _CLOSE)).sum()) - 1, 0)
        self.step = step * len(self.acts) // max(len(levels), 1)
        return self.strength != before


def layers_by_steps(schedule: Schedule) -> dict[tuple[bool, ...], dict[str, Layer]]:
    """Return the layers of a schedule, grouped by the steps in which they act.

    Raises:
        ValueError: More than one LoRA acts in a step.
    """
    layers: dict[tuple[str, int], Layer] = {}
    acts: dict[tuple[str, int], list[bool]] = {}
    for number, entry in enumerate(schedule):
        step = entry if isinstance(entry, Step) else Step(entry)
        if len(step.loras) > 1:
            raise ValueError("expected a method of which one LoRA acts in each step, found several: use another one")
        for path, layer in step.loras[0].layers.items() if step.loras else ():
            key = (path, id(layer))
            layers[key] = layer
            acts.setdefault(key, [False] * len(schedule))[number] = True
    groups: dict[tuple[bool, ...], dict[str, Layer]] = {}
    for (path, number), steps in acts.items():
        groups.setdefault(tuple(steps), {})[path] = layers[path, number]
    return groups


def _acts_alone(row: Any) -> bool:
    """Return whether one LoRA acts in each step of a method, as hooks can do; tried on LoRAs of one number."""
    if row.kind != "runtime":
        return False
    one = torch.ones(1, 1)
    tiny = [LoRA({"a": LowRank(one, one)}), LoRA({"a": LowRank(one, one)})]
    with torch.no_grad():
        steps = [entry if isinstance(entry, Step) else Step(entry) for entry in row.call(tiny, 2)]
    return all(len(step.loras) < 2 for step in steps)


class Compose:
    """Compose LoRAs while sampling, by hooks: in each step each layer takes one LoRA, or their sum, or none."""

    TITLE = "Compose LoRAs while sampling (lorarar)"
    CATEGORY, FUNCTION = CATEGORY, "run"
    RETURN_TYPES = ("CLIP", "CLIP", "HOOKS", "STRING", "STRING")
    RETURN_NAMES = ("positive_clip", "negative_clip", "hooks", "trigger_words", "report")

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        methods = [name for name, row in MERGERS.items() if _acts_alone(row)]
        return {
            "required": {
                "method": (methods, {"tooltip": "klora takes content early and style late, layer by layer."}),
                "steps": ("INT", {"default": 20, "min": 1, "max": 1000, "tooltip": "The steps of the sampler."}),
                "balance": (
                    "FLOAT",
                    {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.05, "tooltip": "How far to bring the LoRAs to "
                     "one length first."},
                ),
            },
            "optional": {
                "clip": ("CLIP", {"tooltip": "Text encoders, for the prompts of the two outputs."}),
                **lora_inputs(),
                "options": ("STRING", {"default": "", "tooltip": "Settings of the method: alpha=1.5, tau=5"}),
            },
        }  # fmt: skip

    @classmethod
    def IS_CHANGED(cls, content: str = NONE, style: str = NONE, **more: Any) -> str:
        return state_of([content, style], **more)

    def run(
        self,
        method: str,
        steps: int,
        balance: float = 0.0,
        clip: Any = None,
        content: str = NONE,
        content_weight: float = 1.0,
        style: str = NONE,
        style_weight: float = 1.0,
        lora_stack: Sequence[Entry] | None = None,
        text_encoder: float = 1.0,
        block_weights: str = "",
        options: str = "",
    ) -> tuple[Any, Any, Any, str, str]:
        """Return the text encoders for the positive and the negative prompt, the hooks, trigger words and a report.

        Raises:
            FormatError: A file cannot be read.
            ValueError: No file is given, or the LoRAs do not fit each other or the method.
        """
        entries = chosen([(content, content_weight), (style, style_weight)], lora_stack)
        with shown_progress(), torch.inference_mode(False), torch.no_grad():
            loras = load_all([path_of(name) for name, _, _ in entries])
            check_same_family(loras)
            asked = replace(merge_request(entries, text_encoder, block_weights), balance=balance)
            denoiser, encoders = _split(place_loras(loras, asked))
            split = split_accelerators(denoiser, MergeRequest())
            row = MERGERS[method]
            schedule: Schedule = row.call(split.others, steps, **row.settings(parse_options(options)))
            hooks = _hooks(schedule, split.kept, loras[0].family)
            text = LoRA(encoders, family=loras[0].family)
            positive, negative = _text_encoders(clip, text, hooks, _unguided(schedule))
        words = dict.fromkeys(phrase for lora in loras for phrase in trigger_phrases(lora))
        notes = [f"method: {method}, {steps} steps, {len(hooks)} hooks", *split.notes, *_shares(schedule, split.others)]
        if encoders and clip is None:
            notes.append("warning: the layers of the text encoders are left out: connect a clip")
        return positive, negative, hooks, ", ".join(words), "\n".join(notes)


NODES: dict[str, Any] = {"Compose": Compose}


def _split(loras: Sequence[LoRA]) -> tuple[list[LoRA], dict[str, Layer]]:
    """Return the denoiser's part of each LoRA, and the sum of their text encoders' layers, which act in all steps."""
    parts: list[LoRA] = []
    encoders: dict[str, list[Layer]] = {}
    for lora in loras:
        own = {path: layer for path, layer in lora.layers.items() if not is_text_encoder(path)}
        parts.append(LoRA(own, name=lora.name, family=lora.family, metadata=lora.metadata))
        for path, layer in lora.layers.items():
            if path not in own:
                encoders.setdefault(path, []).append(layer)
    return parts, {path: add_deltas(layers) for path, layers in encoders.items()}


def _hooks(schedule: Schedule, kept: Sequence[LoRA], family: str | None) -> Any:
    """Return a group of hooks, one for the layers of each set of steps, and one for each LoRA that always acts."""
    group = comfy.hooks.HookGroup()
    always = (True,) * len(schedule)
    parts = [*layers_by_steps(schedule).items(), *((always, lora.layers) for lora in kept)]
    for acts, layers in parts:
        hook = comfy.hooks.WeightHook()
        hook.weights = MergedLoRA(LoRA(layers, family=family))
        hook.hook_keyframe = StepKeyframes(acts)
        group.add(hook)
    return group


def _text_encoders(clip: Any, text: LoRA, hooks: Any, unguided: bool) -> tuple[Any, Any]:
    """Return the text encoders with their layers; the hooks go with what they encode, of the negative on request."""
    if clip is None:
        return None, None
    if text.layers:
        _, clip = comfy.sd.load_lora_for_models(None, clip, MergedLoRA(text), 0.0, 1.0)
    hooked = clip.clone()
    earlier = clip.apply_hooks_to_conds
    hooked.apply_hooks_to_conds = earlier.clone_and_combine(hooks) if earlier else hooks
    return hooked, hooked if unguided else clip


def _unguided(schedule: Schedule) -> bool:
    """Return whether the LoRAs act in the unconditional pass too."""
    return all(entry.unguided for entry in schedule if isinstance(entry, Step))


def _shares(schedule: Schedule, loras: Sequence[LoRA]) -> list[str]:
    """Return for each LoRA in how many layers it alone acts in each step."""
    lines = []
    for index, lora in enumerate(loras):
        counts = []
        for entry in schedule:
            acting = entry.loras if isinstance(entry, Step) else entry
            own = [layer for one in acting for path, layer in one.layers.items() if lora.layers.get(path) is layer]
            counts.append(str(len(own)))
        lines.append(f"layers of {label(lora, index)} alone, by step: {' '.join(counts)}")
    return lines
