"""lorarar.formats.dialects.grouping: unsupported, mixed and inconsistent keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lorarar.formats.loading import load
from lorarar.formats.reading import read_stored
from lorarar.storage.atomic import FormatError
from tests.formats.dialects.files import DOWN, FLUX, OUT, TEXT, UP, Q, current, old, peft, write


def test_unsupported_files(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    down, up = f"{Q}.bias", f"{Q}.weight"  # a whole model's
    with pytest.raises(FormatError, match=rf"x\.safetensors: 2 of 2 keys.*first \['{Q}.*kohya, diffusers.*take it"):
        load(write(path, (down, up)))
    joined = ("lora_unet_foo.lora_down.weight", "lora_unet_foo.lora_up.weight")
    for name in (f"unet.{Q}", f"lora_unet_{Q.replace('.', '_')}"):
        with pytest.raises(FormatError, match="2 of 4 keys.*'lora_unet_foo"):
            load(write(path, peft(name), joined))


def test_a_mixture_is_read_and_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "x", peft(f"unet.{Q}"), peft(TEXT), old(OUT[:-9], "to_out"))
    stored = read_stored(path)
    assert set(stored.layers) == {Q, TEXT, OUT}
    assert stored.warnings == ("the file mixes the dialects diffusers (4 keys), diffusers (old) (2 keys)",)
    with pytest.raises(
        FormatError, match="contains layer down_blocks.*twice, as down_.*and unet.*it mixes two dialects"
    ):
        load(write(path, peft(f"unet.{Q}"), peft(Q)))


def test_inconsistent_files(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    down, up = peft(f"unet.{Q}")
    cases: dict[str, dict[str, Tensor]] = {
        r"1 of 1 layers have missing or superfluous parts.*first \['unet.*lora_A": {down: DOWN},
        r"layer down_blocks.*\(4, 3\).*\(2, 3\)": {down: DOWN, up: torch.ones(4, 3)},
        "floating.point|int32": {down: DOWN.int(), up: UP},
        "twice, as .*it mixes two dialects": {down: DOWN, up: UP, current(f"unet.{Q}")[0]: DOWN + 1},
    }
    for message, tensors in cases.items():
        save_file(tensors, path)
        with pytest.raises(FormatError, match=message):
            load(path)
    header = {"lora_adapter_metadata": json.dumps({"unet.use_dora": True})}
    with pytest.raises(FormatError, match="layer down_blocks.*magnitudes of DoRA, found none"):
        load(write(path, (down, up), header=header))
    with pytest.raises(FormatError, match="is not JSON"):
        load(write(path, (down, up), header={"lora_adapter_metadata": "{"}))


WRAPPED = [
    f"unet._orig_mod.{Q}",
    f"base_model.model._orig_mod.{Q}",
    f"module.unet.{Q}",
    f"unet.module.{Q.replace('attentions.0', 'attentions.0._checkpoint_wrapped_module')}",
    f"transformer._fsdp_wrapped_module.{FLUX}",
    f"lora_unet__orig_mod_{Q.replace('.', '_')}",
]


@pytest.mark.parametrize("stem", WRAPPED)
def test_names_of_wrappers_are_no_part_of_a_path(stem: str, tmp_path: Path) -> None:
    ends = ("lora_down", "lora_up") if stem.startswith("lora") else ("lora_A", "lora_B")
    path = write(tmp_path / "x.safetensors", (f"{stem}.{ends[0]}.weight", f"{stem}.{ends[1]}.weight"))
    assert set(read_stored(path).layers) == {FLUX if "transformer." in stem and FLUX in stem else Q}


def test_wrapped_and_plain_names_of_one_layer_are_a_double(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="twice, as .*_orig_mod"):
        read_stored(write(tmp_path / "x.safetensors", peft(f"unet._orig_mod.{Q}"), peft(f"unet.{Q}")))


@pytest.mark.parametrize("adapter", ["default", "default_0", "my-dog"])
def test_the_name_of_an_adapter_is_no_part_of_a_key(adapter: str, tmp_path: Path) -> None:
    keys = (f"unet.{Q}.lora_A.{adapter}.weight", f"unet.{Q}.lora_B.{adapter}.weight")
    bias = {f"unet.{Q}.lora_B.{adapter}.bias": torch.ones(4)}
    assert set(load(write(tmp_path / "x.safetensors", keys, **bias)).layers) == {Q, f"{Q}.bias"}


def test_several_adapters_in_a_file_are_refused(tmp_path: Path) -> None:
    keys = [(f"unet.{Q}.lora_A.{name}.weight", f"unet.{Q}.lora_B.{name}.weight") for name in ("style", "content")]
    with pytest.raises(FormatError, match="expected one LoRA, found the adapters content, style: save each as a file"):
        read_stored(write(tmp_path / "x.safetensors", *keys))
