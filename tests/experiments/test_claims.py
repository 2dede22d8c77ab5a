"""experiments/claims.py: every sentence of comparison is listed with what it rests on, and follows from it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests import ROOT

sys.path.insert(0, str(ROOT / "experiments"))
claims = __import__("claims")

BETTER = {"in": "ablations/mixed", "first": "our network", "second": "ZipLoRA"}
UNDECIDED = {"in": "main", "first": "our network", "second": "ZipLoRA, tuned"}
RECORDED = {"in": "main", "first": "our network", "second": "constant per layer"}


def problems(sentence: str, **entry: Any) -> list[str]:
    """What is wrong with a page of one sentence that rests on an entry."""
    return claims.check(
        {"exempt": [], "claims": {"page.md": [{"says": sentence, **entry}]}}, {"page.md": claims.sentences(sentence)}
    )


def test_every_sentence_of_comparison_follows_from_the_results() -> None:
    listed = yaml.safe_load(claims.FILE.read_text(encoding="utf-8"))
    assert claims.check(listed, {page: claims.sentences_of(page) for page in claims.pages()}) == []
    assert sum(map(len, listed["claims"].values())) > 60


def test_sentences_are_found_in_paragraphs_lists_tables_and_cards(tmp_path: Path, monkeypatch) -> None:
    text = (
        "# Head\n\nOne is **better\nthan** [two](a.md). Is it better? Fine.\n\n"
        "```sh\nthis beats all\n```\n| a | c is tied |\n|---|---|\n\n* It takes <!-- ratio -->9<!-- /ratio --> times.\n"
    )
    found = claims.sentences(text)
    assert [each for each in found if claims.compares(each)] == ["One is better than two.", "c is tied"]
    assert "It takes {ratio} times." in found
    card = {"what": "a network", "notes": ["It outperforms all."]}
    (tmp_path / "a.card.json").write_text(json.dumps(card))
    monkeypatch.setattr(claims, "ROOT", tmp_path)
    assert claims.sentences_of("a.card.json") == ["a network", "It outperforms all."]


def test_a_sentence_that_is_not_listed_or_gone_is_found() -> None:
    listed = {
        "exempt": [{"reason": "a word", "sentences": ["The best of four."]}],
        "claims": {"a.md": [{"says": "A beats B.", "ascending": [["1", "2"]]}]},
    }
    assert claims.check(listed, {"a.md": ["C beats D."]})[:3] == [
        "claims.yaml: exempt, but gone: The best of four.",
        "a.md: listed in claims.yaml, but gone: A beats B.",
        "a.md: compares, but claims.yaml does not list it: C beats D.",
    ]
    assert claims.check({"exempt": [], "claims": {}}, {"a.md": ["The best of four."]}) != []


def test_superiority_needs_an_interval_above_0() -> None:
    assert problems("Our network beats ZipLoRA by .29 [.07, .59].", better=BETTER) == []
    (wrong,) = problems("Our network beats ZipLoRA.", better=UNDECIDED)
    assert "better: our network minus ZipLoRA, tuned is -0.009 [-0.037, +0.021], p 1.000" in wrong
    higher = {"in": "ablations/normalised", "first": "our network", "second": "two scalars"}
    assert "+0.008 [-0.082, +0.086]" in problems("Our network beats two scalars.", better=higher)[0]
    (wrong,) = problems("No difference from ZipLoRA is shown.", undecided=BETTER)
    assert "undecided: our network minus ZipLoRA is +0.293 [+0.071, +0.594]" in wrong
    (wrong,) = problems("It is not shown to be better.", not_better=BETTER)
    assert "not_better: our network minus ZipLoRA" in wrong
    reverse = {"in": "ablations/mixed", "first": "ZipLoRA", "second": "our network"}
    assert problems("ZipLoRA is not shown to be better.", not_better=reverse) == []
    (wrong,) = problems("It beats X.", better=BETTER | {"second": "X"})
    assert "expected a row of ablations/mixed/results.json, found 'X'" in wrong


def test_equality_needs_a_margin_that_was_fixed_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    (wrong,) = problems("Both are tied.", equivalent=UNDECIDED)
    assert "no margin was fixed before experiments/main was run" in wrong
    scores = {name: np.full((4, 4, 1), value) for name, value in (("a", 0.5), ("b", 0.51), ("c", 0.6))}
    scores["b"][0, 0] += 0.01
    raw = {name: dict.fromkeys(("content", "style", "strict"), values.tolist()) for name, values in scores.items()}
    for name, values in scores.items():
        raw[name]["joint"] = [values.tolist()]
    results = {
        "methods": {name: {"joint": {"mean": float(values.mean())}} for name, values in scores.items()},
        "raw": raw,
        "compared": {"joint": []},
        "best_minus": {"joint": []},
        "equivalence_margin": 0.03,
    }
    monkeypatch.setattr(claims, "read", lambda file: results)
    claim = {"in": "made up", "first": "a", "second": "b"}
    assert problems("They are equal within .03.", equivalent=claim, given=[".03"]) == []
    assert "expected the margin, 0.03" in problems("They are equal.", equivalent=claim)[0]
    (wrong,) = problems("They are equal within .03.", equivalent=claim | {"second": "c"}, given=[".03"])
    assert "equivalent: a minus c is -0.100" in wrong


def test_numbers_that_no_result_gives_are_found() -> None:
    assert "found .30 [.07, .59]" in problems("It beats ZipLoRA by .30 [.07, .59].", better=BETTER)[0]
    assert "found .881" in problems("At .881 it beats ZipLoRA.", better=BETTER)[0]
    assert problems("At .879 it beats ZipLoRA (.586), rate .01.", better=BETTER, given=[".01"]) == []
    path = ["merge/results.json", "devices", "cpu", "ratios", "direct", "seconds"]
    assert problems("It is 15.5 times faster.", numbers={"15.5": path}) == []
    assert (
        "expected 15.6 in the sentence, found 15.4" in problems("It is 15.6 times faster.", numbers={"15.6": path})[0]
    )
    assert problems("B beats A (.2 against .1).", ascending=[[".1", ".2"]]) == []
    assert "expected ascending values" in problems("B beats A (.1 against .2).", ascending=[[".2", ".1"]])[0]
    assert problems("It beats direct.", ascending=[[0, path]]) == []
    assert "expected ascending values" in problems("Direct beats it.", ascending=[[path, 0]])[0]
    assert "expected .3 in the sentence" in problems("B beats A (.1, .2).", ascending=[[".1", ".2", ".3"]])[0]
    assert "expected what the sentence rests on" in problems("B beats A.")[0]


def test_where_raw_scores_are_lost_the_recorded_interval_counts_and_is_marked() -> None:
    assert problems("No difference is shown (+.009 [-.027, +.045]).", undecided=RECORDED | {"recorded": True}) == []
    assert "expected `recorded: true` exactly where" in problems("No difference is shown.", undecided=RECORDED)[0]
    marked = UNDECIDED | {"recorded": True}
    assert "expected `recorded: true` exactly where" in problems("No difference is shown.", undecided=marked)[0]
    lost = {"in": "main", "first": "constant per layer", "second": "direct"}
    assert "neither raw joint scores nor a recorded comparison" in problems("It beats the sum.", better=lost)[0]


def test_a_recorded_comparison_that_its_raw_scores_do_not_give_is_found() -> None:
    recorded = claims.read("ablations/mixed/results.json")["compared"]["joint"][3]
    new = claims.difference("ablations/mixed", "our network", "ZipLoRA", "joint", ["ZipLoRA"]).result
    assert claims.renewed(new, recorded, from_raw=True) == new
    with pytest.raises(claims.ClaimError, match="expected the recorded comparison to follow from the raw scores"):
        claims.renewed(new, recorded | {"low": recorded["low"] + 0.01}, from_raw=True)


def test_the_script_exits_with_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    (tmp_path / "README.md").write_text("A beats B.\n")
    (tmp_path / "claims.yaml").write_text("exempt: []\nclaims: {}\n")
    monkeypatch.setattr(claims, "ROOT", tmp_path)
    monkeypatch.setattr(claims, "FILE", tmp_path / "claims.yaml")
    monkeypatch.setattr(sys, "argv", ["claims.py"])
    with pytest.raises(SystemExit, match=r"README.md: compares, but claims.yaml does not list it: A beats B\."):
        claims.main()
    monkeypatch.setattr(sys, "argv", ["claims.py", "--new"])
    claims.main()
    assert yaml.safe_load(capsys.readouterr().out) == {"README.md": [{"says": "A beats B."}]}
