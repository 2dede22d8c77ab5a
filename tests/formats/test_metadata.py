"""lorarar.formats.metadata: fields for other tools, and the fields of the inputs that must not be copied."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from lorarar.formats.metadata import metadata_for, tag_frequencies, token_names, trigger_phrases
from lorarar.formats.writing import save
from lorarar.lora.dense import Dense
from lorarar.lora.families.table import FAMILIES
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from tests.tiny import factors, two_block_lora

INPUTS = [("cat.safetensors", "ab" * 32), ("oil.safetensors", "cd" * 32)]


def lora_of(family: str = "sdxl") -> LoRA:
    return LoRA(two_block_lora(4, 0.5).layers, {"ss_learning_rate": "1e-4", "ss_tag_frequency": "{}"}, family=family)


def test_fields_of_kohya_and_modelspec() -> None:
    header = metadata_for(
        lora_of(), inputs=INPUTS, method="direct", citation="a paper", triggers=["sks cat", "szn", "szn"], title="both"
    )
    assert header == {
        "ss_network_module": "networks.lora",
        "ss_network_dim": "4",
        "ss_network_alpha": "2",
        "ss_base_model_version": "sdxl_base_v1-0",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": "both",
        "modelspec.resolution": "1024x1024",
        "modelspec.merged_from": "cat.safetensors, oil.safetensors",
        "modelspec.trigger_phrase": "sks cat, szn",
        "modelspec.hash_sha256": "",
        "lorarar.method": "direct",
        "lorarar.citation": "a paper",
        "lorarar.inputs": '[{"name":"cat.safetensors","sha256":"' + "ab" * 32 + '"},'
        '{"name":"oil.safetensors","sha256":"' + "cd" * 32 + '"}]',
    }


def test_mixed_ranks_and_scales_are_dynamic_and_vectors_do_not_count() -> None:
    layers = {"a": factors(6, 6, 2), "b": factors(6, 6, 4, 0.5), "norm": Dense(torch.ones(6))}
    header = metadata_for(LoRA(layers), inputs=INPUTS[:1], method="convert")
    assert (header["ss_network_dim"], header["ss_network_alpha"]) == ("Dynamic", "2")
    assert "modelspec.merged_from" not in header
    empty = metadata_for(LoRA({"norm": Dense(torch.ones(6))}), inputs=INPUTS[:1], method="convert")
    assert "ss_network_dim" not in empty


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_named(family: str) -> None:
    header = metadata_for(lora_of(family), inputs=INPUTS, method="direct", format="diffusers")
    expected = FAMILIES[family]
    assert header.get("ss_base_model_version", "") == expected.base_model_version
    assert header["modelspec.architecture"] == f"{expected.architecture}/lora"
    assert header["modelspec.resolution"] == f"{expected.resolution}x{expected.resolution}"
    assert header["modelspec.implementation"] == "diffusers"
    assert header.get("ss_v2") == ("True" if family == "sd2" else None)


def test_an_unknown_family_has_no_fields() -> None:
    header = metadata_for(lora_of(""), inputs=INPUTS, method="direct")
    assert not {"ss_base_model_version", "modelspec.architecture", "modelspec.resolution"} & set(header)


def test_details_are_compact_json() -> None:
    details = {"coefficients": {"b": 1.5, "a": [1, 2]}, "note": "plain", "options": {}}
    header = metadata_for(lora_of(), inputs=INPUTS, method="ties", details=details)
    assert header["lorarar.coefficients"] == '{"a":[1,2],"b":1.5}'
    assert header["lorarar.note"] == "plain"
    assert header["lorarar.options"] == "{}"


def test_a_date_only_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert "modelspec.date" not in metadata_for(lora_of(), inputs=INPUTS, method="direct")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert metadata_for(lora_of(), inputs=INPUTS, method="direct")["modelspec.date"] == "2023-11-14T22:13:20Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ValueError, match="whole seconds since 1970 in SOURCE_DATE_EPOCH, found 'yesterday'"):
        metadata_for(lora_of(), inputs=INPUTS, method="direct")


def test_training_metadata_of_an_input_is_not_copied() -> None:
    header = metadata_for(lora_of(), inputs=INPUTS, method="direct")
    assert not {"ss_learning_rate", "ss_tag_frequency"} & set(header)


TAGS = json.dumps({"10_cat": {"a photo": 3, " sks cat ": 12}, "1_oil": {"szn": 7, "house": 2}})


def test_trigger_phrases_from_fields_tokens_and_tags() -> None:
    guessed = LoRA({}, {"ss_tag_frequency": TAGS})
    assert trigger_phrases(guessed) == ["sks cat", "szn"]
    learned = replace(guessed, embeddings={"<s1>": torch.ones(2), "bundle_emb.cat.string_to_param.*": torch.ones(2)})
    assert trigger_phrases(learned) == ["<s1>", "cat"]
    stated = replace(learned, metadata={**guessed.metadata, "modelspec.trigger_phrase": "sks cat, <s1>, "})
    assert trigger_phrases(stated) == ["sks cat", "<s1>", "cat"]
    assert trigger_phrases(LoRA({})) == []
    assert trigger_phrases(LoRA({}, {"phrase": "a sks cat, sitting"})) == ["a sks cat, sitting"]  # from our training


def test_tag_frequencies_are_sorted() -> None:
    header = tag_frequencies({"ss_tag_frequency": TAGS})
    assert {folder: list(tags.items()) for folder, tags in header.items()} == {
        "10_cat": [("sks cat", 12), ("a photo", 3)],
        "1_oil": [("szn", 7), ("house", 2)],
    }


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"a": 3}', '{"a": {"b": "c"}}', '{"a": {"b": null}}', "null"])
def test_other_tag_tables_are_ignored(text: str) -> None:
    assert tag_frequencies({"ss_tag_frequency": text}) == {}


def test_token_names_are_listed_once() -> None:
    keys = {"bundle_emb.cat.string_to_param.*": 0, "bundle_emb.cat.step": 1, "<s2>": 2}
    assert token_names(keys) == ["cat", "<s2>"]


def test_a_scale_without_a_short_decimal_gives_a_number() -> None:
    lora = LoRA({"a": LowRank(torch.ones(3, 3), torch.ones(3, 3), 1 / 3)})
    assert metadata_for(lora, inputs=INPUTS, method="direct")["ss_network_alpha"] == "1"


def test_a_file_states_the_origin_of_its_own_names(tmp_path: Path) -> None:
    sgm, lora, key = "https://github.com/Stability-AI/generative-models", lora_of(), "modelspec.implementation"
    made = replace(lora, metadata=metadata_for(lora))
    for name, given, format, expected in (
        ("a", made, "kohya", sgm),
        ("b", made, "diffusers", "diffusers"),
        ("c", lora, "kohya", None),
    ):
        (file,) = save(given, tmp_path / f"{name}.safetensors", format=format)
        with safe_open(file, framework="pt") as opened:
            assert opened.metadata().get(key) == expected
