"""Validation of encoders, on renders and on folders of labelled images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import validate_encoder as script
from numpy.typing import NDArray
from PIL import Image
from validate_encoder import main, read_labelled, validate_encoder, validation_table

from lorarar.worlds.toy.crossed import write_crossed_renders


@pytest.fixture(scope="module")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_crossed_renders(tmp_path_factory.mktemp("renders"), members=3, seeds=2)


def test_renders_are_labelled_by_their_paths(renders: Path) -> None:
    labelled = read_labelled(renders)
    assert len(labelled.files) == 3 * 3 * 2
    assert set(labelled.contents) == {f"validation_content_{i:02d}" for i in range(3)}
    assert set(labelled.styles) == {f"validation_style_{i:02d}" for i in range(3)}
    assert len(set(zip(labelled.contents, labelled.styles, strict=True))) == 9


def test_an_encoder_is_probed_and_its_gram_matrices_too(renders: Path) -> None:
    labelled = read_labelled(renders)
    validations = [validate_encoder(labelled, name, draws=40) for name in ("pixels", "pixels:gram")]
    assert [validated.encoder for validated in validations] == ["pixels", "pixels:gram"]
    assert validations[0].images == 18
    assert validations[0].probe.verdict != "neither"
    assert validations[0].probe.ratios != validations[1].probe.ratios
    with pytest.raises(ValueError, match="NAME, NAME:gram"):
        validate_encoder(labelled, "pixels:maps")
    with pytest.raises(ValueError, match="expected an encoder among"):
        validate_encoder(labelled, "eyes")


def test_an_encoder_without_maps_has_no_gram_matrices(renders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        name = sha256 = resize = "plain"

        def encode_images(self, images: list[Image.Image]) -> NDArray[np.float64]:
            return np.ones((len(images), 2))

    monkeypatch.setattr(script, "load_encoder", lambda *_, **__: Plain())
    with pytest.raises(
        ValueError, match="expected an encoder with feature maps for 'plain:gram', found plain: leave :gram out"
    ):
        validate_encoder(read_labelled(renders), "plain:gram")


def test_unreadable_images_are_counted_and_left_out(renders: Path, tmp_path: Path) -> None:
    for path in renders.rglob("*.png"):
        copy = tmp_path / path.relative_to(renders)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    broken = tmp_path / "validation_content_00" / "validation_style_00" / "9.png"
    broken.write_bytes(b"no image")
    validated = validate_encoder(read_labelled(tmp_path), "pixels", draws=10)
    assert validated.images == 18
    assert list(validated.refused) == ["validation_content_00/validation_style_00/9.png"]


def test_a_folder_that_the_layout_does_not_match_is_refused(renders: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found 18 that do not.*--layout"):
        read_labelled(renders, "{content}+{style}/{seed}.png")
    with pytest.raises(ValueError, match="expected a folder of images"):
        read_labelled(tmp_path)


def test_the_command_probes_a_folder(renders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(renders), "--encoder", "pixels", "-o", str(tmp_path / "out" / "probe.json")])
    printed = capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "probe.json").read_text())[0]
    assert record["images"] == 18
    assert f"| {record['verdict']} |" in printed
    ratio = record["probe"]["ratios"]["content"]["vendi"]["value"]
    assert f"| pixels | {ratio:.2f} / " in printed


def test_the_table_has_a_row_per_encoder(renders: Path) -> None:
    validations = [validate_encoder(read_labelled(renders), "pixels", draws=5)]
    assert validation_table(validations).splitlines()[0] == "| encoder | vendi | dissimilarity | variance | sees |"
    assert len(validation_table(validations).splitlines()) == 3


def test_a_wrong_folder_ends_with_a_message(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="validate_encoder: expected a folder of images"):
        main([str(tmp_path), "--encoder", "pixels"])


def test_renders_of_the_toy_world_are_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--encoder", "pixels"])
    recorded = json.loads((Path(script.__file__).parent / "encoders.json").read_text())
    pixels = next(entry for entry in recorded if entry["encoder"] == "pixels")
    ratios = [pixels["probe"]["ratios"][axis]["vendi"]["value"] for axis in ("content", "style")]
    assert f"| pixels | {ratios[0]:.2f} / {ratios[1]:.2f} |" in capsys.readouterr().out


def test_images_that_cannot_be_read_leave_nothing_to_probe(tmp_path: Path) -> None:
    for content in "ab":
        path = tmp_path / content / "ink" / "0.png"
        path.parent.mkdir(parents=True)
        path.write_text("no image")
    with pytest.raises(ValueError, match="expected images that can be read, found 2 that cannot"):
        validate_encoder(read_labelled(tmp_path), "pixels")
