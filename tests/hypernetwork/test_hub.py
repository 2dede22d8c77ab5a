"""lorarar.hypernetwork.hub: folders, cards, and uploads to a mock of the hub."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

from lorarar.formats.writing import save
from lorarar.hypernetwork.checkpoint import save_merger
from lorarar.hypernetwork.constant import ConstantConfig, ConstantMerger
from lorarar.hypernetwork.hub import network_file, open_network, push_to_hub, save_pretrained
from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork
from lorarar.storage.atomic import FormatError
from tests.tiny import two_block_lora

MADE = {"base": "someone/model", "step": "300", "validation/joint": "0.85"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "trained.safetensors"
    save_merger(PaperHypernetwork(PaperConfig(widths=(6, 12), hidden=4)), path, MADE)
    return path


def test_a_saved_folder_opens_as_the_merger(file: Path, tmp_path: Path) -> None:
    folder = save_pretrained(file, tmp_path / "a" / "network")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "merger.safetensors"]
    assert network_file(folder).read_bytes() == file.read_bytes()
    loras = [two_block_lora(2, seed=seed) for seed in (0, 1)]
    expected, found = (open_network(name).module(loras).layers for name in (file, folder))
    assert all(torch.equal(a, b) for la in expected for a, b in zip(expected[la], found[la], strict=True))
    save_pretrained(network_file(folder), folder)  # a card made anew


def test_the_card_states_what_the_header_states(file: Path, tmp_path: Path) -> None:
    text = (save_pretrained(file, tmp_path / "n", name="me/network", licence="mit") / "README.md").read_text()
    for part in (
        "license: mit\n",
        "base_model: someone/model\n",
        "# me/network\n",
        "kind `paper` (162 parameters)",
        "| widths | [6, 12] |",
        "| step | 300 |",
        "| joint | 0.85 |",
        "--network me/network",
        "SHA-256 ",
    ):
        assert part in text, part


def test_the_card_names_the_families_of_its_layers(tmp_path: Path) -> None:
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    save_merger(ConstantMerger(ConstantConfig(groups=(layer,), group="layer")), tmp_path / "c.safetensors")
    text = (save_pretrained(tmp_path / "c.safetensors", tmp_path / "n") / "README.md").read_text()
    assert "Stable Diffusion XL" in text
    assert "FLUX" not in text
    assert "the file does not say" not in text  # the version is in every header
    assert "| scores | the file holds none |" in text
    assert "base_model" not in text


def test_an_upload_holds_the_file_and_its_card(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    class Hub:
        def create_repo(self, repository: str, **options: object) -> None:
            calls.append((repository, options))

        def upload_folder(self, **options: object) -> str:
            calls.append(options)
            return "address"

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    folder = save_pretrained(file, tmp_path / "network")
    (folder / "last.ckpt").touch()
    assert push_to_hub(folder, "me/network", private=True) == "address"
    assert calls[0] == ("me/network", {"private": True, "exist_ok": True})
    assert calls[1]["repo_id"] == "me/network"
    assert calls[1]["folder_path"] == folder
    assert calls[1]["allow_patterns"] == ["merger.safetensors", "README.md"]
    (folder / "README.md").unlink()
    with pytest.raises(FormatError, match="expected a card at .*README.md, found none: write the folder"):
        push_to_hub(folder, "me/network")


def test_a_hub_id_is_downloaded(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    snapshot = save_pretrained(file, tmp_path / "snapshot")
    downloads = []

    def download(repository: str, allow_patterns: list[str]) -> str:
        downloads.append((repository, allow_patterns))
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert network_file("me/network-1.0") == snapshot / "merger.safetensors"
    assert downloads == [("me/network-1.0", ["merger.safetensors"])]


def test_the_hub_is_not_contacted_for_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the hub was contacted"))
    (tmp_path / "me").mkdir()
    for local in ("me/network", "you/network.safetensors", "./network", Path("you/network")):
        assert network_file(local) == Path(local)
        with pytest.raises(FormatError, match=r"network.* does not exist: check the path"):
            open_network(local)


def test_a_missing_network_is_named_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match=r"expected merger.safetensors in .*, found none: give a folder that save_pr"):
        network_file(tmp_path)

    def fail(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    message = (
        "cannot read merger.safetensors of me/network: expected me/network as a folder, on the hub or in its cache, "
        "found no such folder and no copy, and HF_HUB_OFFLINE is set: check the name and the network, or give a local"
    )
    with pytest.raises(FormatError, match=message):
        open_network("me/network")


@pytest.mark.slow
def test_merging_with_a_folder_needs_no_hub(file: Path, tmp_path: Path) -> None:
    save_pretrained(file, tmp_path / "network")
    for name, seed in (("a", 0), ("b", 1)):
        save(two_block_lora(2, seed=seed), tmp_path / f"{name}.safetensors")
    words = ["merge", "a.safetensors", "b.safetensors", "-o", "m.safetensors", "--network", "network"]
    code = f"import sys; from lorarar.cli.main import main; main({words}); sys.exit('huggingface_hub' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "m.safetensors").is_file()
