"""lorarar.formats.dialects.peft: the configuration beside the weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import Tensor

from lorarar.formats.loading import load
from lorarar.formats.reading import read_stored
from lorarar.formats.writing import save
from lorarar.storage.atomic import FormatError
from tests.formats.corpus import pair
from tests.formats.dialects.files import Q, peft, write


def test_alpha_in_adapter_config_beside_the_file(tmp_path: Path) -> None:
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps({"r": 2, "lora_alpha": 6, "use_rslora": False}))
    path = write(tmp_path / "adapter_model.safetensors", peft(f"base_model.model.{Q}"))
    assert load(path).layers[Q].scale == 3.0
    assert load(tmp_path).layers[Q].scale == 3.0  # a folder with one file
    config.write_text("{")
    with pytest.raises(FormatError, match=r"adapter_config\.json: the adapter's configuration is not JSON"):
        load(path)


def beside(folder: Path, config: dict[str, object], name: str, tensors: dict[str, Tensor]) -> Path:
    """Return a file with another adapter's configuration beside it."""
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / name)
    return folder / name


def adapter() -> dict[str, Tensor]:
    return pair(f"base_model.model.{Q}", 640, 640, (".lora_A.weight", ".lora_B.weight"))


@pytest.mark.parametrize(
    "config",
    [
        {"r": 8, "lora_alpha": 64},
        {"r": 2, "lora_alpha": 64, "target_modules": ["to_k"]},
        {"r": 2, "lora_alpha": 64, "target_modules": r"mid_block\\..*"},
        {"r": 2, "lora_alpha": 64, "use_dora": True},
        {"r": 2, "lora_alpha": 64, "peft_type": "LOHA"},
    ],
)
def test_a_configuration_of_another_adapter_is_not_used(config: dict[str, object], tmp_path: Path) -> None:
    path = beside(tmp_path, config, "x.safetensors", adapter())
    stored = read_stored(path)
    assert [warning.partition(" (")[0] for warning in stored.warnings] == [
        "adapter_config.json beside the file is for another adapter"
    ]
    assert stored.alphas_from == ""
    assert load(path).layers[Q].scale == 1.0
    path = beside(tmp_path, config, "adapter_model.safetensors", adapter())
    with pytest.raises(FormatError, match="the configuration of this adapter in adapter_config.json beside it, found"):
        load(path)


@pytest.mark.parametrize("prefix", ["unet.", "lora_unet_"])
def test_a_file_that_is_no_adapter_of_peft_has_no_configuration(prefix: str, tmp_path: Path) -> None:
    config = {"r": 2, "lora_alpha": 64}
    names = ".lora_A.weight", ".lora_B.weight"
    tensors = pair(prefix + (Q if prefix == "unet." else Q.replace(".", "_")), 640, 640, names)
    assert load(beside(tmp_path, config, "x.safetensors", tensors)).layers[Q].scale == 1.0


def test_targets_and_ranks_that_fit(tmp_path: Path) -> None:
    for targets in (["to_q", "to_k"], [Q], r".*\.to_q", "all-linear", None):
        config: dict[str, object] = {"r": 2, "lora_alpha": 6, "target_modules": targets, "peft_type": "LORA"}
        stored = read_stored(beside(tmp_path, config, "x.safetensors", adapter()))
        assert stored.alphas_from == "adapter_config.json"
        assert stored.alphas == {Q: 6.0}


def test_an_adapter_of_a_text_encoder_has_its_alpha(tmp_path: Path) -> None:
    path = "text_model.encoder.layers.0.self_attn.q_proj"
    tensors = pair(f"base_model.model.{path}", 768, 768, (".lora_A.weight", ".lora_B.weight"))
    lora = load(beside(tmp_path, {"r": 2, "lora_alpha": 6}, "adapter_model.safetensors", tensors))
    assert lora.layers[f"text_encoder.{path}"].scale == 3.0


def test_an_adapter_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    lora = load(write(tmp_path / "x.safetensors", peft(f"base_model.model.{Q}")))
    before = sorted(tmp_path.iterdir())
    for target, message in (
        (tmp_path / "y.safetensors", "a folder of its own for a peft adapter, found .*: give a name without .safet"),
        (tmp_path, r"a folder of its own for a peft adapter, found .* with other files, first .*x.safetensors.*new"),
    ):
        for force in (False, True):
            with pytest.raises(FormatError, match=message):
                save(lora, target, format="peft", force=force)
    assert sorted(tmp_path.iterdir()) == before
    save(lora, tmp_path / "new", format="peft")
    (tmp_path / "new" / "README.md").write_text("the card that peft writes")
    save(lora, tmp_path / "new", format="peft", force=True)
