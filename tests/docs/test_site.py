"""docs: the generated reference covers the program, the navigation covers the pages, numbers come from results.

`make docs` builds the site; here its parts are checked without building it.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lorarar.cli.exit_codes import ExitCode
from lorarar.cli.main import commands, main
from lorarar.evaluation.judge.trust import gate
from lorarar.mergers import MERGERS, describe_merger
from lorarar.storage import NETWORKS, config_keys, shipped_configs
from lorarar.workflows import TrainConfig
from tests import ROOT

DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "hooks"))
reference, site = importlib.import_module("reference"), importlib.import_module("site_files")


def pages_in(nav: Any) -> list[str]:
    """The pages of a navigation, in its order."""
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav
    return [page for entry in entries for page in pages_in(entry)]


def navigation() -> list[str]:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    return pages_in(yaml.safe_load(text)["nav"])


def leaves(command: Any, name: str) -> list[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if not inner:
        return [(name, command)]
    return [leaf for key, each in inner.items() for leaf in leaves(each, f"{name} {key}")]


def test_the_navigation_covers_every_page_and_every_page_exists() -> None:
    nav = navigation()
    assert len(nav) == len(set(nav))
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    notebooks = {path.relative_to(DOCS).with_suffix(".md").as_posix() for path in DOCS.rglob("*.ipynb")}
    experiments = {path.relative_to(ROOT).as_posix() for path in (ROOT / "experiments").glob("*/README.md")}
    assert sorted((pages | notebooks | experiments) - set(nav)) == []
    assert [
        page for page in nav if page not in notebooks and not ((DOCS / page).is_file() or (ROOT / page).is_file())
    ] == []


def test_the_reference_has_every_command_with_every_option() -> None:
    parts = re.split(r"^#+ (lorarar .+)$", reference.generate("commands"), flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    found = leaves(commands(), "lorarar")
    assert len(found) > 20
    for name, command in found:
        for parameter in command.params:
            if parameter.rich_help_panel != reference.GENERAL and parameter.opts[0].startswith("-"):
                assert f"`{parameter.opts[-1]}`" in sections[name], name


def test_the_reference_has_the_options_in_the_order_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    pages = reference.generate("commands").split("\n## ")
    for name in ("merge", "score"):
        page = next(page for page in pages if page.startswith(f"lorarar {name}\n"))
        main([name, "--help"])
        shown = re.findall(r"^  (?:-\w, )?(--[\w-]+)", capsys.readouterr().out, re.M)
        assert re.findall(r"^\| (?:`-\w`, )?`(--[\w-]+)`", page, re.M) == shown[: shown.index("--plugin")]


def test_the_reference_has_every_merger_network_and_exit_code() -> None:
    mergers = reference.generate("mergers")
    assert re.findall(r"^\| `(\w+)`", mergers, re.M) == list(MERGERS)
    assert all(describe_merger(name).does in mergers for name in MERGERS)
    assert all(path.name in reference.generate("networks") for path in NETWORKS.glob("*.safetensors"))
    assert reference.generate("cards").count(".card.json`") == 4
    assert re.findall(r"^\| `(\d+)`", reference.generate("exit_codes"), re.M) == [str(int(code)) for code in ExitCode]


def test_the_reference_has_every_key_and_every_shipped_configuration() -> None:
    text = reference.generate("configurations")
    assert all(f"| `{key.name}` |" in text for key in config_keys(TrainConfig))
    assert [name for name in shipped_configs() if f"| `{name}` |" not in text] == []
    configured = {name for name, command in leaves(commands(), "lorarar") if "overrides" in names_of(command)}
    assert configured - set(reference.CONFIGURED) == {"lorarar configs check"}
    assert set(reference.CONFIGURED) <= {name for name, _ in leaves(commands(), "lorarar")}


def names_of(command: Any) -> list[str]:
    return [parameter.name for parameter in command.params]


def test_the_reference_has_every_public_name_of_every_room() -> None:
    rooms = [path.parent.name for path in (ROOT / "lorarar").glob("*/__init__.py") if path.parent.name != "cli"]
    for room in rooms:
        assert f"<!-- generated: room {room} -->" in (DOCS / f"reference/python/{room}.md").read_text(encoding="utf-8")
    assert "::: lorarar.lora.LoRA\n" in reference.generate("room lora")
    assert "::: lorarar.lora.families.choose_family\n" in reference.generate("room lora")
    assert "::: lorarar.merge\n" in reference.generate("front")


def test_a_part_that_nobody_generates_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a generated part out of cards, commands, .*, found 'merger'"):
        reference.generate("merger")
    for page in DOCS.rglob("*.md"):
        for part in site.GENERATED.findall(page.read_text(encoding="utf-8")):
            assert part.split()[0] in reference.PARTS, page


def test_links_out_of_the_pages_lead_to_files_of_the_site() -> None:
    text = "[a](../../experiments/main/README.md#x) `[b](../../README.md)` [c](../../data/) [d](https://x.org/y)"
    targets = [site.target("docs/results/main.md", match[2]) for match in site.LINK.finditer(text)]
    assert targets == ["experiments/main/README.md", "README.md", "data/README.md", None]
    assert [code for code, _ in site.split_code(text)] == [False, True, False]
    assert site.site_path("README.md") == "index.md"
    assert site.site_path("docs/results/main.md") == "results/main.md"
    assert "experiments/main/pareto.png" in site.links("docs/results/main.md")


def decimals(text: str) -> set[str]:
    """The decimal numbers of a text, without sign and without a zero before the point: 0.93 is .93."""
    return {number.lstrip("0") for number in re.findall(r"(?<![\w.])\d*\.\d+(?!\w)", text)}


def numbers_without_source(page: str) -> set[str]:
    """The decimal numbers in the sentences of a page that stand in no experiment; filled tables are left out."""
    sentences = re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->|\]\([^)]*\)", "", page, flags=re.S)
    experiments = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "experiments").rglob("*.md"))
    return decimals(sentences) - decimals(experiments)


@pytest.mark.parametrize("page", sorted((DOCS / "results").glob("*.md")), ids=lambda page: page.stem)
def test_numbers_in_sentences_stand_in_an_experiment(page: Path) -> None:
    assert numbers_without_source(page.read_text(encoding="utf-8")) == set()


def test_a_number_without_a_source_is_found() -> None:
    assert numbers_without_source("+.030 [+.002, +.9987], 0.8765 [1.3](a0.4321.md) arXiv 2412.05148") == {
        ".9987",
        ".8765",
        "2412.05148",
    }


def test_tables_of_the_metrics_are_those_of_their_experiment() -> None:
    experiment = (ROOT / "experiments/metrics/README.md").read_text(encoding="utf-8")
    page = (DOCS / "results/instruments.md").read_text(encoding="utf-8")
    for name in ("faults", "agreement"):
        table = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", page, re.S)
        assert table is not None
        assert len(table[1].splitlines()) >= 5
        assert [row for row in table[1].splitlines() if row not in experiment] == []


def test_the_guides_name_every_rubric_and_bound_of_the_calibration() -> None:
    judge = (DOCS / "guides/judge.md").read_text(encoding="utf-8")
    rubrics = [path.stem for path in (ROOT / "lorarar/evaluation/judge/ask/rubrics").glob("*.yaml")]
    assert [name for name in rubrics if f"`{name}`" not in judge] == []
    for bound in (gate.MIN_SENSITIVITY, gate.MIN_SPECIFICITY, gate.MAX_FALSE_ACCEPTS):
        assert f" {bound} of " in judge
