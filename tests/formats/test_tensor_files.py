"""lorarar.formats.tensor_files: round trip, damaged files, refused writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lorarar.formats.tensor_files import read_tensor_file, write_tensors
from lorarar.storage.atomic import FormatError
from lorarar.storage.hashing import sha256


def test_an_error_of_the_system_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.setattr("lorarar.storage.atomic.check_target", lambda path, force: folder.rmdir())
    with pytest.raises(FormatError, match="cannot be written.*permissions"):
        write_tensors(folder / "x.safetensors", {"a": torch.zeros(1)}, {})


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.arange(6.0).view(2, 3).T}, {"k": "v"})
    file = read_tensor_file(path)
    assert torch.equal(file.tensors["a"], torch.arange(6.0).view(2, 3).T)
    assert file.header == {"k": "v"}
    assert file.sha256 == sha256(path)


def test_damaged_files_are_refused_with_a_remedy(tmp_path: Path) -> None:
    whole = tmp_path / "whole.safetensors"
    save_file({"a": torch.zeros(100)}, whole)
    (tmp_path / "cut").write_bytes(whole.read_bytes()[:-50])
    (tmp_path / "pickle").write_bytes(b"\x80\x02}q\x00." * 20)
    (tmp_path / "pointer").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    (tmp_path / "zero").write_bytes(b"")
    save_file({}, tmp_path / "hollow")
    save_file({"good": torch.zeros(2), "bad": torch.tensor([1.0, float("nan")])}, tmp_path / "nan")
    save_file({"bad": torch.tensor([float("inf")], dtype=torch.float16)}, tmp_path / "inf")
    messages = {
        "absent": "does not exist: check the path",
        "cut": r"not a complete safetensors file \(\d+ bytes; .*download it again",
        "pickle": "is a pickled checkpoint, not a safetensors file: take a safetensors version",
        "pointer": "git-LFS pointer.*git lfs pull",
        "zero": r"is empty \(0 bytes\)",
        "hollow": "contains no tensors",
        "nan": r"NaN or infinite weights in 1 of 2 tensors, first \['bad'\].*diverged",
        "inf": "NaN or infinite weights in 1 of 1",
    }
    for name, message in messages.items():
        with pytest.raises(FormatError, match=message) as caught:
            read_tensor_file(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_a_key_that_the_header_contains_twice_is_refused(tmp_path: Path) -> None:
    header = b'{"__metadata__":{"x":"1","x":"2"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (tmp_path / "a").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(FormatError, match="contains the key 'x' twice in its header: save it again"):
        read_tensor_file(tmp_path / "a")
