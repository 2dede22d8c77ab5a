"""The diversity-ratio probe on features whose answer is known, and by the command on renders and folders."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from lorarar.cli.main import main
from lorarar.evaluation.metrics.measures import vendi
from lorarar.evaluation.metrics.probe import DIVERSITIES, Array, dissimilarity, diversity_ratio, probe, variance
from lorarar.evaluation.metrics.validation import read_labelled, validate_encoder, validation_table
from lorarar.worlds.toy.crossed import write_crossed_renders

CROSSED = list(itertools.product(range(5), range(4), range(3)))
CONTENTS, STYLES = ([f"{letter}{one[axis]}" for one in CROSSED] for axis, letter in ((0, "c"), (1, "s")))


def features(content: float, style: float, noise: float = 0.3) -> Array:
    """Each content and each style has a direction of its own; what is asked for is how strongly they show."""
    random = np.random.default_rng(0)
    of_content, of_style = random.normal(size=(5, 24)), random.normal(size=(4, 24))
    rows = [content * of_content[c] + style * of_style[s] for c, s, _ in CROSSED]
    return np.asarray(rows) + noise * random.normal(size=(len(CROSSED), 24))


@pytest.mark.parametrize(
    ("content", "style", "verdict"), [(1, 0, "content"), (0, 1, "style"), (1, 1, "both"), (0, 0, "neither")]
)
def test_what_is_in_the_features_is_found(content: float, style: float, verdict: str) -> None:
    found = probe(features(content, style), CONTENTS, STYLES)
    assert found.verdict == verdict
    assert {found.leaning(name) for name in DIVERSITIES} == {verdict}


def test_variance_ratio_is_the_analysis_of_variances() -> None:
    rows = features(1, 0.4)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    members = [rows[np.asarray(CONTENTS) == name] for name in sorted(set(CONTENTS))]
    within = sum(float(np.square(m - m.mean(0)).sum()) for m in members)
    total = float(np.square(rows - rows.mean(0)).sum())
    found = diversity_ratio(rows, CONTENTS, "variance", draws=400)
    assert_allclose(found.value, within / total)
    assert_allclose(found.chance, (60 - 5) / (60 - 1), atol=0.005)  # the expectation under random labels
    assert found.p == pytest.approx(1 / 401)


def test_diversities_of_simple_sets() -> None:
    equal, orthogonal = np.ones((4, 3)), np.eye(4)
    assert_allclose([measure(equal) for measure in DIVERSITIES.values()], [1, 0, 0], atol=1e-9)
    assert_allclose([measure(orthogonal) for measure in DIVERSITIES.values()], [4, 1, 0.75])
    assert math.isnan(dissimilarity(np.ones((1, 3))))
    rows = features(1, 1)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)]
    assert_allclose(dissimilarity(rows), 1 - cosines.mean())
    assert_allclose(variance(rows), unit.var(0).sum())


def test_classes_of_equal_images_are_fully_seen_and_random_ones_not() -> None:
    rows = np.repeat(np.eye(5), 12, axis=0)
    for name in DIVERSITIES:
        found = diversity_ratio(rows, CONTENTS, name)
        assert found.value == pytest.approx(found.floor, abs=1e-9)
        assert found.seen == pytest.approx(1)
        shuffled = diversity_ratio(rows, list(np.random.default_rng(1).permutation(CONTENTS)), name)
        assert abs(shuffled.seen) < 0.15
    assert diversity_ratio(rows, CONTENTS, "vendi").floor == pytest.approx(1 / vendi(rows))


@pytest.mark.parametrize(
    ("rows", "classes", "message"),
    [
        (np.eye(4), ["a"] * 4, "at least two classes"),
        (np.eye(4), ["a", "a", "a", "b"], "at least two images each"),
        (np.eye(4), ["a", "a", "b"], "at least two classes"),
        (np.ones((4, 2)), ["a", "a", "b", "b"], "all the same"),
    ],
)
def test_images_that_cannot_be_probed_are_refused(rows: Array, classes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        diversity_ratio(rows, classes, "variance")


def test_contents_and_styles_must_be_crossed() -> None:
    with pytest.raises(ValueError, match="2 contents, 2 styles and 2 pairs"):
        probe(np.eye(4), ["a", "a", "b", "b"], ["x", "x", "y", "y"])


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_crossed_renders(tmp_path_factory.mktemp("renders"), members=3, seeds=2)


def test_renders_are_labelled_by_their_paths(renders: Path) -> None:
    found = read_labelled(renders)
    assert len(found.pictures) == 3 * 3 * 2
    assert set(found.contents) == {f"validation_content_{i:02d}" for i in range(3)}
    assert set(found.styles) == {f"validation_style_{i:02d}" for i in range(3)}
    assert len(set(zip(found.contents, found.styles, strict=True))) == 9


def test_an_encoder_is_probed_and_its_gram_matrices_too(renders: Path) -> None:
    labelled = read_labelled(renders)
    found = [validate_encoder(labelled, name, draws=40) for name in ("pixels", "pixels:gram")]
    assert [one.encoder for one in found] == ["pixels", "pixels:gram"]
    assert found[0].images == 18
    assert found[0].probe.verdict != "neither"
    assert found[0].probe.ratios != found[1].probe.ratios
    with pytest.raises(ValueError, match="NAME, NAME:gram"):
        validate_encoder(labelled, "pixels:maps")
    with pytest.raises(ValueError, match="expected an encoder of"):
        validate_encoder(labelled, "eyes")


def test_an_encoder_without_maps_has_no_gram_matrices(renders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        name = sha256 = resize = "plain"

        def encode_images(self, images: list[Image.Image]) -> Array:
            return np.ones((len(images), 2))

    monkeypatch.setattr("lorarar.evaluation.metrics.validation.load_encoder", lambda *_, **__: Plain())
    with pytest.raises(ValueError, match="no feature maps"):
        validate_encoder(read_labelled(renders), "plain:gram")


def test_unreadable_images_are_counted_and_left_out(renders: Path, tmp_path: Path) -> None:
    for path in renders.rglob("*.png"):
        copy = tmp_path / path.relative_to(renders)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    broken = tmp_path / "validation_content_00" / "validation_style_00" / "9.png"
    broken.write_bytes(b"no image")
    found = validate_encoder(read_labelled(tmp_path), "pixels", draws=10)
    assert found.images == 18
    assert list(found.refused) == ["validation_content_00/validation_style_00/9.png"]


def test_a_folder_that_the_layout_does_not_match_is_refused(renders: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found 18 that do not.*--layout"):
        read_labelled(renders, "{content}+{style}/{seed}.png")
    with pytest.raises(ValueError, match="expected a folder of images"):
        read_labelled(tmp_path)


def test_the_command_probes_a_folder(renders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["metrics", "validate", str(renders), "--encoder", "pixels", "-o", str(tmp_path / "found" / "probe.json")])
        == 0
    )
    printed = capsys.readouterr().out
    record = json.loads((tmp_path / "found" / "probe.json").read_text())[0]
    assert record["images"] == 18
    assert f"| {record['verdict']} |" in printed
    ratio = record["probe"]["ratios"]["content"]["vendi"]["value"]
    assert f"| pixels | {ratio:.2f} / " in printed


def test_the_command_measures_effects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.csv"
    table.write_text("rank,score\n2,1\n8,3\n")
    assert main(["metrics", "effects", str(table), "--factors", "rank"]) == 0
    assert "| score | 2.000 | 1.000 (-1.000 .. +1.000) |" in capsys.readouterr().out


def test_the_table_has_a_row_an_encoder(renders: Path) -> None:
    found = [validate_encoder(read_labelled(renders), "pixels", draws=5)]
    assert validation_table(found).splitlines()[0] == "| encoder | vendi | dissimilarity | variance | sees |"
    assert len(validation_table(found).splitlines()) == 3
