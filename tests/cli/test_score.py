"""The command `lorarar score IMAGES`: judge and metrics in one folder, on one page."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorarar.cli.main import main
from lorarar.evaluation.judge.ask.run_folder import read_setup
from tests.evaluation.judge.sample import LAYOUT, write_images, write_labels, write_references


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A command line with a mock judge and metrics by pixels."""
    (tmp_path / "metrics.yaml").write_text(
        f"content: {{name: pixels}}\nstyle: {{name: pixels}}\ngram: {{name: pixels}}\ncache: {tmp_path}/cache\n"
    )
    words = ["score", str(write_images(tmp_path)), "--references", str(write_references(tmp_path)), "--cases", "6"]
    words += ["--layout", LAYOUT, "--metrics", str(tmp_path / "metrics.yaml"), "-o", str(tmp_path / "run")]
    return words


def test_one_command_makes_one_page_and_goes_on(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--backend", "mock:truth", "--budget-calls", "0"]) == 5  # plans, so that there are labels
    write_labels(tmp_path / "labels.jsonl", read_setup(tmp_path / "run"))
    truth = [*words, "--backend", "mock:truth", "--labels", str(tmp_path / "labels.jsonl")]
    assert main([*truth, "--budget-calls", "100"]) == 5
    capsys.readouterr()
    assert main(truth) == 0
    printed = capsys.readouterr().out
    assert "16 images scored, 0 refused" in printed
    assert "64 questions: 64 ok" in printed
    assert printed.endswith("run/report.html\n")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert '<h2 id="images">Images</h2>' in page
    assert "content fidelity, cosine" in page
    assert main(truth) == 0
    assert "asked 0 now" in capsys.readouterr().out


def test_without_metrics_the_page_has_none(tmp_path: Path, words: list[str]) -> None:
    words[words.index("--metrics") + 1] = "none"
    assert main([*words, "--backend", "mock:noisy", "--budget-calls", "1"]) == 5
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_a_mistake_ends_before_the_judge_is_asked(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words[: words.index("--layout")]) == 2
    assert "--layout PATTERN or --manifest FILE" in capsys.readouterr().err
    words[words.index("--metrics") + 1] = str(tmp_path / "absent.yaml")
    assert main([*words, "--backend", "mock:truth"]) == 1
    assert not (tmp_path / "run" / "log.jsonl").exists()
