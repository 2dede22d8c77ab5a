"""lorarar.formats.dialects.peft: the configuration beside the weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorarar.formats.loading import load
from lorarar.storage.atomic import FormatError
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
