"""Metadata: file headers that describe a LoRA and its origin in the fields that other tools read.

kohya's trainer writes `ss_*`, which A1111 and the managers of ComfyUI read; `modelspec.*` is Stability's ModelSpec
1.0.1; `lorarar.*` holds our own fields: method, citation, inputs with their SHA-256, coefficients.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lorarar.formats.tensor_files import HASH_KEY
from lorarar.lora import LoRA, LowRank
from lorarar.lora.families import FAMILIES

OWN = "lorarar."
_SPEC = "modelspec."
IMPLEMENTATION = f"{_SPEC}implementation"
_DIGITS = 6


def metadata_for(
    lora: LoRA,
    *,
    inputs: Sequence[tuple[str, str]] = (),
    method: str = "",
    citation: str = "",
    details: Mapping[str, Any] | None = None,
    triggers: Sequence[str] = (),
    title: str = "",
    format: str | None = None,
) -> dict[str, str]:
    """Return the header of a file that was made from other files. It copies nothing from the inputs' headers.

    Equal arguments give equal headers. The header has a date only if the environment variable SOURCE_DATE_EPOCH
    (seconds since 1970, UTC) gives one.

    Args:
        lora: The LoRA of the new file.
        inputs: (name, SHA-256 as 64 hexadecimal digits) of each input file.
        method: Method that made the LoRA, such as "direct".
        citation: Source of the method.
        details: Further facts that can be written as JSON, such as {"coefficients": summarise_coefficients(..)}.
        triggers: Trigger phrases of the LoRA's concepts.
        title: Title for display.
        format: Dialect of the file, as in `lorarar.formats.save`.

    Returns:
        Key -> text. ModelSpec's hash is empty; writing fills it in.

    Raises:
        ValueError: SOURCE_DATE_EPOCH is not a whole number of seconds.
    """
    names = [name for name, _ in inputs]
    sources = [{"name": name, "sha256": digest} for name, digest in inputs]
    facts = {"method": method, "citation": citation, "inputs": sources, **(details or {})}
    own = {OWN + key: _text(value) for key, value in facts.items() if value not in ("", [])}
    return {**_kohya(lora), **_model_spec(lora.family, names, triggers, title, format), HASH_KEY: "", **own}


def trigger_phrases(lora: LoRA) -> list[str]:
    """Return the trigger phrases of a LoRA, as far as its file gives them.

    Returns:
        The phrases in ModelSpec's field, the phrase that our training writes, and the names of learned tokens. Without
        any of these, the most frequent tag of each folder of training images, which is a guess.
    """
    from_spec = lora.metadata.get(f"{_SPEC}trigger_phrase", "").split(",")
    from_training = lora.metadata.get("phrase", "")
    candidates = [*(phrase.strip() for phrase in from_spec), from_training, *token_names(lora.embeddings)]
    phrases = [phrase for phrase in candidates if phrase]
    if not phrases:
        phrases = [next(iter(tags)) for tags in tag_frequencies(lora.metadata).values() if tags]
    return list(dict.fromkeys(phrases))


def token_names(embeddings: Mapping[str, Any]) -> list[str]:
    """Return the names of learned tokens: "<s1>", and "cat" for the key "bundle_emb.cat.string_to_param.*"."""
    return list(dict.fromkeys(key.split(".")[1] if key.startswith("bundle_emb.") else key for key in embeddings))


def tag_frequencies(header: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Return the frequency of each tag in the captions of each folder of training images, most frequent first.

    Returns:
        {folder: {tag: count}} from kohya's `ss_tag_frequency`; empty if the header has no such table.
    """
    try:
        table = json.loads(header.get("ss_tag_frequency") or "{}")
        return {folder: _by_frequency(tags) for folder, tags in table.items()}
    except (
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ):  # some tools write something else in this field
        return {}


def _by_frequency(tags: Mapping[str, Any]) -> dict[str, int]:
    counts = [(tag.strip(), int(count)) for tag, count in tags.items()]
    return dict(sorted(counts, key=lambda pair: -pair[1]))


def _kohya(lora: LoRA) -> dict[str, str]:
    layers = [layer for layer in lora.layers.values() if isinstance(layer, LowRank)]
    version = FAMILIES[lora.family].base_model_version if lora.family else ""
    fields = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": _common([layer.rank for layer in layers]),
        "ss_network_alpha": _common([round(layer.scale * layer.rank, _DIGITS) for layer in layers]),
        "ss_base_model_version": version,
        "ss_v2": "True" if lora.family == "sd2" else "",
    }
    return {key: value for key, value in fields.items() if value}


def _model_spec(
    family: str, inputs: Sequence[str], triggers: Sequence[str], title: str, format: str | None
) -> dict[str, str]:
    fields = {
        "sai_model_spec": "1.0.1",
        "implementation": implementation(family, format),
        "title": title,
        "merged_from": ", ".join(inputs) if len(inputs) > 1 else "",
        "trigger_phrase": ", ".join(dict.fromkeys(triggers)),
        "date": _date(),
        **_spec_of_family(family),
    }
    return {_SPEC + key: value for key, value in fields.items() if value}


def _common(numbers: Sequence[float]) -> str:
    """Return the number that all layers share, kohya's "Dynamic" if they differ, "" without layers."""
    if len(set(numbers)) > 1:
        return "Dynamic"
    return f"{numbers[0]:g}" if numbers else ""


def _spec_of_family(key: str) -> dict[str, str]:
    if not key:
        return {}
    family = FAMILIES[key]
    size = family.resolution
    return {"architecture": f"{family.architecture}/lora", "resolution": f"{size}x{size}"}


def implementation(family: str, format: str | None) -> str:
    """Return the origin of the tensors' names in the form that ModelSpec requires."""
    sgm = family == "sdxl" and format in (None, "kohya")
    return "https://github.com/Stability-AI/generative-models" if sgm else "diffusers"


def _date() -> str:
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not seconds:
        return ""
    if not seconds.isdecimal():
        raise ValueError(
            f"expected whole seconds since 1970 in SOURCE_DATE_EPOCH, found {seconds!r}: correct or unset it"
        )
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(value: Any) -> str:
    """Return text unchanged and any other value as compact JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), sort_keys=True)
