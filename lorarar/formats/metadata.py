"""Headers that say what a LoRA file is and how it was made, in the words that other tools read.

`ss_*` is what kohya's trainer writes and A1111 and ComfyUI's managers read; `modelspec.*` is Stability's ModelSpec
1.0.1; `lorarar.*` is our own: method, citation, inputs with their SHA-256, coefficients.
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
    """The header of a file that was made from other files. Nothing of the inputs' own headers enters it unasked.

    Equal arguments give equal headers: a date is written only where the environment variable SOURCE_DATE_EPOCH (seconds
    since 1970, UTC) gives one.

    Args:
        lora: What the file will hold.
        inputs: (name, SHA-256 as 64 hexadecimal digits) of each file it was made from.
        method: How, such as "direct".
        citation: The method's source.
        details: Further facts, such as {"coefficients": summary(..)}: anything that JSON can hold.
        triggers: Phrases that bring the LoRA's concepts into a prompt.
        title: What people call it.
        format: The dialect of the file, as `lorarar.formats.save` takes it.

    Returns:
        Key -> text. ModelSpec's hash is empty: the writer fills it in.

    Raises:
        ValueError: SOURCE_DATE_EPOCH is no whole number of seconds.
    """
    ours = {"method": method, "citation": citation, "inputs": [{"name": n, "sha256": digest} for n, digest in inputs]}
    own = {key: _text(value) for key, value in {**ours, **(details or {})}.items() if value not in ("", [])}
    spec = {
        "sai_model_spec": "1.0.1",
        "implementation": _implementation(lora.family, format),
        "title": title,
        "merged_from": ", ".join(name for name, _ in inputs) if len(inputs) > 1 else "",
        "trigger_phrase": ", ".join(dict.fromkeys(triggers)),
        "date": _date(),
        **_spec_of_family(lora.family),
    }
    return {
        **_kohya(lora),
        **{_SPEC + key: value for key, value in spec.items() if value},
        HASH_KEY: "",
        **{OWN + key: value for key, value in own.items()},
    }


def trigger_phrases(lora: LoRA) -> list[str]:
    """The phrases that bring a LoRA's concept into a prompt, as far as its file tells them.

    Returns:
        What ModelSpec's field says, the phrase that our own training writes, and the names of learned tokens. Where
        there is none of these, the commonest tag of each folder of training images: a guess.
    """
    stated, trained = lora.metadata.get(f"{_SPEC}trigger_phrase", ""), lora.metadata.get("phrase", "")
    found = [*(phrase.strip() for phrase in stated.split(",")), trained, *token_names(lora.embeddings)]
    known = list(dict.fromkeys(phrase for phrase in found if phrase))
    return known or list(dict.fromkeys(next(iter(tags)) for tags in tag_frequencies(lora.metadata).values() if tags))


def token_names(embeddings: Mapping[str, Any]) -> list[str]:
    """Names of learned tokens: "<s1>", and "cat" of the key "bundle_emb.cat.string_to_param.*"."""
    return list(dict.fromkeys(key.split(".")[1] if key.startswith("bundle_emb.") else key for key in embeddings))


def tag_frequencies(header: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """How often each tag stands in the captions of each folder of training images, the commonest first.

    Returns:
        {folder: {tag: count}} of kohya's `ss_tag_frequency`; empty where the header has none, or no such table.
    """
    try:
        table = json.loads(header.get("ss_tag_frequency") or "{}")
        return {
            folder: dict(sorted(((tag.strip(), int(count)) for tag, count in tags.items()), key=lambda pair: -pair[1]))
            for folder, tags in table.items()
        }
    except (ValueError, TypeError, AttributeError):  # other tools write other things there
        return {}


def _kohya(lora: LoRA) -> dict[str, str]:
    layers = [layer for layer in lora.layers.values() if isinstance(layer, LowRank)]
    version = FAMILIES[lora.family].base_model_version if lora.family else ""
    found = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": _common([layer.rank for layer in layers]),
        "ss_network_alpha": _common([round(layer.scale * layer.rank, _DIGITS) for layer in layers]),
        "ss_base_model_version": version,
        "ss_v2": "True" if lora.family == "sd2" else "",
    }
    return {key: value for key, value in found.items() if value}


def _common(numbers: Sequence[float]) -> str:
    """The number that all layers share; "Dynamic", kohya's word, where they differ; "" where there is none."""
    return "Dynamic" if len(set(numbers)) > 1 else f"{numbers[0]:g}" if numbers else ""


def _spec_of_family(key: str) -> dict[str, str]:
    if not key:
        return {}
    family = FAMILIES[key]
    size = family.resolution
    return {"architecture": f"{family.architecture}/lora", "resolution": f"{size}x{size}"}


def _implementation(family: str, format: str | None) -> str:
    """Whose names the tensors bear, as ModelSpec wants it said."""
    sgm = family == "sdxl" and format in (None, "kohya")
    return "https://github.com/Stability-AI/generative-models" if sgm else "diffusers"


def _date() -> str:
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not seconds:
        return ""
    if not seconds.isdecimal():
        raise ValueError(f"expected whole seconds since 1970 in SOURCE_DATE_EPOCH, found {seconds!r}")
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(value: Any) -> str:
    """Text as it is, anything else as compact JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), sort_keys=True)
