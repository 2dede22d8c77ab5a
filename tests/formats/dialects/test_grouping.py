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
from tests.formats.dialects.files import DOWN, OUT, TEXT, UP, Q, current, old, peft, write


def test_unsupported_files(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    unknown = {
        "another's names": [peft("diffusion_model.foo.bar")],
        "underscores of unknown names": [("lora_unet_foo.lora_down.weight", "lora_unet_foo.lora_up.weight")],
        "a whole model's": [(f"{Q}.bias", f"{Q}.weight")],
    }
    for stems in unknown.values():
        with pytest.raises(
            FormatError, match=rf"x\.safetensors: 2 of 2 keys.*first \['{stems[0][0]}.*kohya, diffusers.*save it"
        ):
            load(write(path, *stems))
    with pytest.raises(FormatError, match="2 of 4 keys"):
        load(write(path, peft(f"unet.{Q}"), *unknown["another's names"]))


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
