"""lorarar.evaluation.judge.run_comparison: kappa and alpha of judges that answered in folders of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lorarar.cli.main import main
from lorarar.evaluation.judge.ask.run_folder import read_setup
from lorarar.evaluation.judge.plan import plan_run
from lorarar.evaluation.judge.run import run_judge
from lorarar.evaluation.judge.run_comparison import compare_judges, describe_agreement
from lorarar.evaluation.statistics.agreement import cohen_kappa, krippendorff_alpha
from lorarar.evaluation.statistics.proportions import Rate
from tests.evaluation.judge.sample import LAYOUT, planned_run, save_noise
from tests.evaluation.judge.test_run import truth, yes_sayer


def judged(folder: Path, specificity: float) -> Path:
    run = planned_run(folder, images=1)
    run_judge(run, read_setup(run), replace(yes_sayer(run), specificity=specificity), "test", uncalibrated=True)
    return run


def test_agreement_is_that_of_the_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right, yes = judged(tmp_path / "right", 1.0), judged(tmp_path / "yes", 0.0)
    result = compare_judges([right, yes])
    labels = truth(right).labels
    for axis in ("content", "style"):
        lines = [labels[item.id, axis] for item in read_setup(right).items]
        (pair,) = [pair for pair in result.pairs if pair.axis == axis]
        assert (pair.first, pair.second) == (str(right), str(yes))
        assert pair.agreed == Rate(sum(lines), 16)
        assert pair.kappa == cohen_kappa(lines, [1] * 16)
        assert result.alpha[axis] == pytest.approx(krippendorff_alpha([[value, 1] for value in lines]))
    assert main(["judge", "compare", str(right), str(yes)]) == 0
    assert capsys.readouterr().out == describe_agreement(result) + "\n"
    assert f"content: {right} and {yes}: kappa 0.000 (" in describe_agreement(result)


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    one, other = judged(tmp_path / "one", 1.0), planned_run(tmp_path / "other", images=1)
    with pytest.raises(ValueError, match="expected two or more different folders"):
        compare_judges([one, one])
    with pytest.raises(ValueError, match="run `lorarar judge run` first"):
        compare_judges([one, other])
    save_noise(other.parent / "images" / "direct" / "cat_1+ink" / "0.png", 99)
    plan_run(other, other.parent / "images", other.parent / "references" / "references.yaml", layout=LAYOUT, cases=6)
    with pytest.raises(ValueError, match="found others: plan both from the same folder"):
        compare_judges([one, other])
