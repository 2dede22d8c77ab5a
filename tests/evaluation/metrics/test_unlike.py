"""Unlike images are refused with the numbers and the remedy, or allowed and named in the results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lorarar.evaluation.metrics.encoding import Encoders
from lorarar.evaluation.metrics.export import Measurement
from lorarar.evaluation.metrics.run import run_metrics
from lorarar.evaluation.metrics.settings import MetricsConfig
from lorarar.evaluation.metrics.unlike import UnlikeImages, check_unlike
from lorarar.storage.config import load_config
from tests import ROOT


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Overrides for a folder of noise in the place of photos: two contents, two styles, one method."""
    random = np.random.default_rng(0)
    concepts = [{"name": f"{kind}{i}", "kind": kind, "phrase": "cat"} for kind in ("content", "style") for i in (0, 1)]
    paths = [f"references/{concept['name']}/{i}.png" for concept in concepts for i in range(3)]
    paths += [f"images/ours/content{i}+style{j}/{seed}.png" for i in (0, 1) for j in (0, 1) for seed in (0, 1)]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(tmp_path / path)
    (tmp_path / "references" / "concepts.yaml").write_text(yaml.safe_dump({"concepts": concepts}))
    values = {"images": "images", "references": "references/concepts.yaml", "output": "out", "cache": "cache"}
    return [f"{key}={tmp_path / value}" for key, value in values.items()] + ["splits=null", "device=cpu"]


def test_the_embedded_encoder_refuses_other_images(photos: list[str], tmp_path: Path) -> None:
    path = ROOT / "configs" / "metrics" / "embedded.yaml"
    config = load_config(MetricsConfig, path, photos)
    with pytest.raises(ValueError, match=r"found 8 of 8 images and 12 of 12 references unlike .* metrics/photos"):
        run_metrics(config)
    assert not (tmp_path / "out").exists()
    assert "8 of 8 images are unlike those that the encoder 'tower' knows" in run_metrics(
        replace(config, allow_unlike_images=True)
    )
    for name in ("metrics.json", "metrics.md"):
        assert "8 of 8 images are unlike" in (tmp_path / "out" / name).read_text()


def test_photos_are_measured_by_published_encoders(photos: list[str], dinov2: Path, clip: Path, tmp_path: Path) -> None:
    overrides = [f"content.path={dinov2}", f"gram.path={dinov2}", f"style.path={clip}", f"text.path={clip}"]
    config = load_config(MetricsConfig, ROOT / "configs" / "metrics" / "photos.yaml", [*photos, *overrides])
    text = run_metrics(config)
    assert "content, gram: dinov2 (" in text
    assert "style, text: clip (" in text
    assert "8 images scored, 0 refused" in text
    assert "controllability: the manifest has no prompts" in text


def test_embedded_images_are_counted(measurement: Measurement, encoders: Encoders) -> None:
    counts = measurement.unlike
    assert list(counts) == [encoders.content.name]  # the others know images of any sort
    assert counts["tower"]["images"].of == len(measurement.items)
    check_unlike(counts, allowed=False)
    assert not measurement.notes()


def test_a_set_is_refused_by_two_thirds_of_it() -> None:
    assert not UnlikeImages(2, 3).are_most
    assert UnlikeImages(3, 4).are_most
    assert not UnlikeImages(0, 0).are_most
