"""Pages "Add a ..": their code works as a user's own file and as an installed package, and results name the plugin."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from torch.testing import assert_close

from lorarar.cli.main import main
from lorarar.evaluation.judge.ask.backends import BACKENDS
from lorarar.evaluation.metrics import METRICS
from lorarar.evaluation.metrics.encoders import ENCODERS
from lorarar.formats import load, read_tensor_file, write_tensors
from lorarar.formats.dialects import DIALECTS
from lorarar.hypernetwork import NETWORK_KINDS, load_network
from lorarar.mergers import MERGERS, TERMS
from lorarar.storage import Table, plugins, plugins_in, sha256
from tests.docs.blocks import ROOT, Block, read_blocks
from tests.docs.runner import Runner, clone, fill_demo

# Page -> file of its plugin, name of its row, the table.
PAGES: dict[str, tuple[str, str, Table]] = {
    "merger": ("slerp.py", "slerp", MERGERS),
    "network": ("gate.py", "gate", NETWORK_KINDS),
    "term": ("anchor.py", "anchor", TERMS),
    "metric": ("nearest.py", "style_nearest", METRICS),
    "encoder": ("thumbnail.py", "thumbnail", ENCODERS),
    "backend": ("colours.py", "colours", BACKENDS),
    "dialect": ("bars.py", "bars", DIALECTS),
}
LORAS = "data/embedded/loras/test_content_00.safetensors", "data/embedded/loras/test_style_00.safetensors"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, in a process without plugins."""
    monkeypatch.setattr(plugins, "_loaded", plugins._Loaded())
    monkeypatch.chdir(clone(tmp_path))
    return tmp_path


def blocks(page: str) -> list[Block]:
    return read_blocks(ROOT / "docs" / "extend" / f"{page}.md")


def write_plugin(page: str, folder: Path) -> Path:
    block = next(block for block in blocks(page) if block.title and block.title.endswith(".py"))
    assert block.title == PAGES[page][0]
    (folder / block.title).write_text(block.text, encoding="utf-8")
    return folder / block.title


def install(page: str, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the page's plugin where pip would: the module and its entry point, beside nothing else."""
    site.mkdir()
    module = write_plugin(page, site).stem
    info = site / f"lorarar_{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lorarar-{module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[lorarar.plugins]\n{module} = {module}\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, module, raising=False)


def check_merger(plugin: dict[str, str]) -> None:
    merged, content, style = (load(path) for path in ("slerp.safetensors", *LORAS))
    assert plugins_in(merged.metadata) == plugin
    assert merged.metadata["lorarar.method"] == "slerp"
    layer = next(iter(content.layers))
    a, b = (lora.layers[layer].delta().flatten().double() for lora in (content, style))
    angle = torch.arccos(torch.dot(a, b) / a.norm() / b.norm())
    expected = (torch.sin(0.7 * angle) * a + torch.sin(0.3 * angle) * b) / torch.sin(angle)
    assert_close(merged.layers[layer].delta().flatten().double(), expected, rtol=0.01, atol=1e-3 * float(a.abs().max()))


def check_network(plugin: dict[str, str]) -> None:
    with plugins.scoped_plugins():
        plugins.load_plugin("gate.py")
        network = load_network("gate.safetensors")
    assert network.kind == "gate"
    assert plugins_in(network.metadata) == plugins_in(load("merged.safetensors").metadata) == plugin


def check_metric(plugin: dict[str, str]) -> None:
    results = json.loads(Path("runs/metrics/metrics.json").read_text())
    assert results["plugins"] == plugin
    assert [metric["name"] for metric in results["metrics"]][-1] == "style_nearest"
    assert all(pair["values"]["style_nearest"] >= pair["values"]["style_cosine"] for pair in results["pairs"])


def check_encoder(plugin: dict[str, str]) -> None:
    results = json.loads(Path("runs/metrics/metrics.json").read_text())
    assert results["plugins"] == plugin
    assert results["encoders"]["style"]["name"] == "thumbnail"
    (about,) = Path("runs/metrics_cache").glob("thumbnail_image_*/about.json")
    assert json.loads(about.read_text())["plugin thumbnail"] == plugin["thumbnail"]


def check_backend(plugin: dict[str, str]) -> None:
    record = json.loads(Path("runs/judge/backend.json").read_text())
    assert record["identity"] == {"backend": "colours", "threshold": 40.0, "plugins": plugin}
    assert Path("runs/judge/report.html").is_file()


def check_dialect(plugin: dict[str, str]) -> None:
    file = read_tensor_file("bars.safetensors")
    write_tensors("unnamed.safetensors", file.tensors, {})
    with plugins.scoped_plugins():
        plugins.load_plugin("bars.py")
        written = load("unnamed.safetensors")
    original = load(LORAS[0])
    for path, layer in original.layers.items():
        assert_close(written.layers[path].delta(), layer.delta(), rtol=1e-2, atol=1e-4)
    assert plugins_in(file.header) == plugins_in(written.metadata) == plugin
    assert plugins_in(load("merged.safetensors").metadata) == plugin


CHECKS: dict[str, Callable[[dict[str, str]], None]] = {
    "merger": check_merger,
    "network": check_network,
    "term": lambda plugin: None,  # its page shows the value
    "metric": check_metric,
    "encoder": check_encoder,
    "backend": check_backend,
    "dialect": check_dialect,
}
HEAVY = ("metric", "encoder", "backend")


@pytest.mark.parametrize("page", [pytest.param(p, marks=[pytest.mark.slow] if p in HEAVY else []) for p in PAGES])
def test_a_page_works_from_an_empty_folder(page: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if page in HEAVY:
        fill_demo(folder / "runs/demo")
    runner = Runner(capsys)
    for block in blocks(page):
        runner.run(block)
    file = folder / PAGES[page][0]
    CHECKS[page]({file.stem: sha256(file)})


@pytest.mark.parametrize("page", PAGES)
def test_a_page_works_as_an_installed_package(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(page, folder / "site", monkeypatch)
    file, name, table = PAGES[page]
    assert name not in table.own()
    assert table.find(name).name == name
    assert table.plugins([name, *table.own()]) == {Path(file).stem: sha256(folder / "site" / file)}
    assert list(table)[-1] == name


@pytest.mark.parametrize(("page", "words"), [("merger", ["--merger", "slerp"]), ("dialect", ["--format", "bars"])])
def test_an_installed_plugin_needs_no_option(
    page: str, words: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(page, folder / "site", monkeypatch)
    assert main(["merge", *LORAS, "-o", "m.safetensors", "--rank", "8", *words]) == 0
    file = PAGES[page][0]
    assert plugins_in(load("m.safetensors").metadata) == {Path(file).stem: sha256(folder / "site" / file)}


def test_the_packaging_of_the_overview_is_that_of_the_group() -> None:
    import tomllib

    (block,) = (block for block in blocks("index") if block.title == "pyproject.toml")
    assert tomllib.loads(block.text)["project"]["entry-points"] == {plugins.GROUP: {"slerp": "slerp"}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "words"),
    [("network", ["gate.yaml"]), ("term", ["train/embedded_paper", "loss_weights.extra={anchor: 0.1}"])],
)
def test_training_takes_a_plugin_and_its_file_names_it(page: str, words: list[str], folder: Path) -> None:
    for block in blocks(page):
        if block.title:
            Path(block.title).write_text(block.text)
    parts = {
        part: {"contents": [f"{part}_content_00"], "styles": [f"{part}_style_00"]} for part in ("train", "validation")
    }
    Path("splits.yaml").write_text(
        yaml.safe_dump({"splits": {"tiny": parts | {"test": {"contents": [], "styles": []}}}})
    )
    plugin = PAGES[page][0]
    small = ["splits=splits.yaml", "split=tiny", "recipe.steps=1", "validate_every=1", "pairs=1", "wandb=disabled"]
    command = ["train", *words, "--plugin", plugin, "runs=run", "classifier=null", *small]
    assert main(command) == 0
    with plugins.scoped_plugins():
        plugins.load_plugin(plugin)
        header = load_network("run/merger.safetensors").metadata
    assert plugins_in(header) == {Path(plugin).stem: sha256(plugin)}
    Path(plugin).write_text(f"{Path(plugin).read_text()}# changed\n")
    assert main(command) == 1, "the folder holds a run of another version of the plugin"
