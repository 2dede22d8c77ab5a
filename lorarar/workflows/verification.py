"""Verification of a merged file: what tools make of it, and whether its deltas are those of its inputs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lorarar.formats import (
    BaseWeights,
    Explanation,
    StoredLoRA,
    ToolView,
    assemble,
    compare,
    explain,
    read_stored,
    sketches,
    tolerance,
    tool_views,
)
from lorarar.lora import Coefficients, LoRA, label, merge_exactly
from lorarar.mergers import MERGERS, MergeRequest, Split, combine, set_apart, split_accelerators
from lorarar.storage import FormatError, check_present, printable
from lorarar.workflows.diffusers_view import diffusers_view

TOOLS = ("ComfyUI", "sd-scripts", "diffusers")
_FOREIGN = 0.998  # residual from which on a file is no merge of the inputs; DARE at a density of 0.01 leaves 0.995
_OF_DIFFUSERS = ("diffusers", "diffusers (old)", "peft")
_STATED = ("weights", "blocks", "text_encoder", "balance", "svc")  # fields of the header that state the request


@dataclass(frozen=True)
class Verification:
    """Verification of a merged LoRA file.

    Attributes:
        file: The file.
        layers: Number of its layers.
        faults: What is wrong, in plain words; empty if nothing is.
        notes: What else was found.
        views: What each tool makes of the file.
        explanation: Weights of the inputs that explain the file best; None without inputs.
        error: Relative error against the request, else against the best weights; None without inputs.
    """

    file: str
    layers: int = 0
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    views: tuple[ToolView, ...] = ()
    explanation: Explanation | None = None
    error: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the verification as plain data for JSON."""
        fit = self.explanation and {**asdict(self.explanation), "fitting": len(self.explanation.fitting)}
        return {**asdict(replace(self, explanation=None)), "explanation": fit}

    def text(self) -> str:
        """Return the verification as text."""
        count = len(self.faults)
        verdict = f"{count} fault{'s' if count > 1 else ''}" if count else "no fault found"
        lines = [f"{self.file}: {self.layers} layers, {verdict}", *(f"  fault: {fault}" for fault in self.faults)]
        views = [text for view in self.views if (text := view.text()) not in self.faults]
        lines += [f"  {line}" for line in (*self.notes, *views)]
        return "\n".join(map(printable, lines))


def verify_file(
    file: str | Path,
    inputs: Sequence[str | Path] = (),
    request: MergeRequest | None = None,
    *,
    base: str | Path | None = None,
    tool: str | None = None,
) -> Verification:
    """Verify a merged LoRA file, of any tool.

    Args:
        file: The merged file.
        inputs: The files that it was merged from, in order; none to look at the file alone.
        request: How they should have been merged; None takes what the file states, else finds the weights of the
            inputs that explain the file best.
        base: The base model, for files whose deltas depend on it (DoRA, IA3, OFT, GLoRA).
        tool: A tool of `TOOLS` that must use every layer of the file; None asks that at least one does.

    Raises:
        FormatError: There is no such file, or an input cannot be read.
        ValueError: The inputs do not fit each other or the request, or a request has no inputs.
    """
    check_present([file, *inputs])
    if request is not None and not inputs:
        raise ValueError("expected `inputs` with a request, found none: name the files that the file was merged from")
    weights = BaseWeights(base) if base else None
    read = [_read_input(path, weights) for path in inputs]
    try:
        stored = read_stored(file)
        found = assemble(stored, weights)
    except FormatError as error:
        return Verification(str(file), faults=(f"the file cannot be read: {error}",))
    views = (*tool_views(stored), *filter(None, [diffusers_view(stored, found)]))
    result = Verification(
        str(file), len(found.layers), tuple(_tool_faults(views, tool, stored.dialect)), stored.warnings, views
    )
    if not read:
        return result
    loras, plain = [lora for lora, _ in read], frozenset(path for _, paths in read for path in paths)
    families = {lora.family for lora in loras if lora.family}
    if found.family and families and found.family not in families:
        fault = f"the file is for {found.family}, its inputs are for {', '.join(sorted(families))}"
        return replace(result, faults=(*result.faults, fault))
    return _compared(result, stored, found, loras, plain, request)


def _read_input(path: str | Path, base: BaseWeights | None) -> tuple[LoRA, list[str]]:
    """Return an input, and its DoRA layers, which are read without the magnitude where the base is not given."""
    stored = read_stored(path)
    dora = [] if base else [name for name, algorithm in stored.algorithms.items() if algorithm == "dora"]
    layers = dict(stored.layers)
    for name in dora:
        parts = {role: part for role, part in layers[name].parts.items() if role not in ("dora_scale", "magnitude")}
        layers[name] = replace(layers[name], parts=parts, algorithm="lora")
    return assemble(replace(stored, layers=layers), base), [path for name in dora for path in layers[name].rows.paths]


def _tool_faults(views: Sequence[ToolView], tool: str | None, dialect: str) -> Iterator[str]:
    """Yield the views of the named tool, or of all where none is complete, that miss a part of the file."""
    chosen = [view for view in views if tool in (None, view.tool)]
    asked = {view.tool for view in views}
    if tool and not chosen:
        yield f"not known whether {tool} reads a file of this family"
    if not tool and dialect in _OF_DIFFUSERS and "diffusers" not in asked:
        return  # it is not installed, or its pipeline is not known
    if tool:
        yield from (view.text() for view in chosen if not view.complete)
    elif chosen and not any(view.complete for view in chosen):
        names = ", ".join(view.tool for view in chosen)
        yield f"none of {names} uses all layers at full strength: `lorarar convert` writes names that they know"


def _compared(
    result: Verification,
    stored: StoredLoRA,
    found: LoRA,
    loras: Sequence[LoRA],
    plain: frozenset[str],
    request: MergeRequest | None,
) -> Verification:
    """Return the verification with what the inputs say of the file; `plain` are DoRA layers without magnitude."""
    tolerated = tolerance(stored) + min(4 * float(stored.header.get("lorarar.truncation_error", 0)), 0.9)
    sketched = sketches(found.layers)
    same = {path: sketch for path, sketch in sketched.items() if _same_shape(path, found, loras)}
    fit = explain(same, [sketches(lora.layers) for lora in loras], tolerated)
    notes = [*result.notes, _describe(fit, loras, tolerated)]
    split = split_accelerators(loras, request) if request else _stated_split(stored, loras)
    if split is not None:
        expected = split.join(combine(split.others, split.request).lora)
    elif 2 * len(fit.fitting) >= len(sketched) or fit.residual <= tolerated:
        expected = _weighted(loras, fit)
    else:
        by_columns = fit.by_columns <= tolerated
        if fit.residual > _FOREIGN and not fit.by_columns <= tolerated:
            fault = "the file holds nothing of the inputs: name the files that it was merged from"
            return replace(
                result, faults=(*result.faults, fault), notes=tuple(notes), explanation=fit, error=fit.residual
            )
        notes += (
            []
            if by_columns
            else [
                "not a weighted sum of the inputs: give its merger, or the weights that a sum should have, to compare"
            ]
        )
        error = fit.by_columns if by_columns else fit.residual
        return replace(result, notes=tuple(notes), explanation=fit, error=error)
    wanted = sketches(expected.layers)
    rest, of_plain = (
        [{path: sketch for path, sketch in known.items() if (path in plain) == side} for known in (sketched, wanted)]
        for side in (False, True)
    )
    error, faults = compare(found, expected, tolerated, (rest[0], rest[1]))
    if faults and split and _is_swapped(fit, split.weights.weights if split.weights else split.request.weights):
        faults.append("the weights of the inputs are swapped")
    if plain and not compare(found, expected, tolerated, (of_plain[0], of_plain[1]))[1]:
        faults.append(f"{len(plain)} DoRA layers are in the file without their magnitude")
    elif plain:
        notes.append(f"{len(plain)} DoRA layers depend on the base model and are not compared: give `base`")
    return replace(result, faults=(*result.faults, *faults), notes=tuple(notes), explanation=fit, error=error)


def _same_shape(path: str, found: LoRA, loras: Sequence[LoRA]) -> bool:
    return all(lora.layers[path].shape == found.layers[path].shape for lora in loras if path in lora.layers)


def _stated_split(stored: StoredLoRA, loras: Sequence[LoRA]) -> Split | None:
    """Return the merge that the header of a file states, if it can be repeated with these inputs alone.

    The header also states which inputs were added unchanged: their names now, or a later rule, may say otherwise.
    """
    keys = (*_STATED, "inputs", "accelerators")
    try:
        method = MERGERS.get(stored.header.get("lorarar.method", ""))
        stated = {key: json.loads(stored.header.get(f"lorarar.{key}", "null")) for key in keys}
        if method is None or method.learned or method.on_base:
            return None
        options = {key: json.loads(stored.header[f"lorarar.{key}"]) for key in method.options}
    except (ValueError, KeyError):
        return None
    inputs, accelerators = stated.pop("inputs") or [], stated.pop("accelerators") or []
    if [entry.get("sha256") for entry in inputs] != [lora.sha256 for lora in loras]:
        return None
    words = [entry["name"] if entry.get("name") in accelerators else "" for entry in inputs]
    if sum(map(bool, words)) != len(accelerators):  # two inputs have one name
        return None
    given = {"balance": 0.0, **{key: value for key, value in stated.items() if value is not None}}
    return set_apart(loras, MergeRequest(method.name, options=options, keep_accelerators=False, **given), words)


def _weighted(loras: Sequence[LoRA], fit: Explanation) -> LoRA:
    layers = dict.fromkeys(path for lora in loras for path in lora.layers)
    return merge_exactly(loras, Coefficients({path: tuple(map(torch.tensor, fit.of(path))) for path in layers}))


def _is_swapped(fit: Explanation, weights: Sequence[float] | None) -> bool:
    """Return whether the weights that explain a file are those of the request in the opposite order."""
    wanted = list(weights or [])
    return any(
        len(wanted) == 2
        and wanted[0] != wanted[1]
        and max(abs(a - b) for a, b in zip(wanted[::-1], w, strict=False)) < 0.02
        for w in fit.weights.values()
    )


def _describe(fit: Explanation, loras: Sequence[LoRA], tolerated: float) -> str:
    """Return the weights that explain a file best in a line."""
    names = [Path(label(lora, index)).stem for index, lora in enumerate(loras)]
    parts = []
    for part, weights in fit.weights.items():
        terms = " + ".join(f"{weight:.3g} {name}" for weight, name in zip(weights, names, strict=True))
        parts.append(f"{part} = {terms}")
    text = f"best weights: {'; '.join(parts)}, residual {fit.residual:.2g}"
    if fit.residual <= tolerated:
        return text
    return f"{text}; {fit.by_columns:.2g} with a weight for each column, as mergers with coefficients have"
