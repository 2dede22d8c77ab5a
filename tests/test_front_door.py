"""The names that `lorarar` itself offers: imported late, and enough to merge, look and judge."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lorarar
from lorarar.cli.main import main
from lorarar.mergers.table import MERGERS
from lorarar.storage.cards import lorarar_version
from lorarar.storage.locations import EMBEDDED
from tests import ROOT

NAMES = {"MERGERS", "generate", "inspect", "judge", "load", "load_plugin", "merge", "save"}
FILES = [EMBEDDED / "loras" / f"{name}.safetensors" for name in ("test_content_00", "test_style_00")]
PROMPT = "a sks cat in szn style"


def test_it_offers_these_names() -> None:
    assert set(lorarar.__all__) == NAMES
    assert [name for name in sorted(NAMES - {"MERGERS"}) if not callable(getattr(lorarar, name))] == []
    assert lorarar.MERGERS is MERGERS
    assert lorarar.__version__ == lorarar_version()
    with pytest.raises(AttributeError, match="attribute blend"):
        lorarar.blend  # noqa: B018 - asked for on purpose


def test_every_function_has_an_example_and_says_what_it_raises() -> None:
    for name in ("generate", "judge", "load", "merge", "save"):
        text = getattr(lorarar, name).__doc__
        assert [part for part in ("Args:", "Returns:", "Raises:", "Example") if part not in text] == []


def test_an_import_loads_nothing() -> None:
    code = "import sys, lorarar; lorarar.__version__; print([n for n in ('torch', 'numpy', 'PIL') if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_from_files_to_a_file_and_a_report(tmp_path: Path) -> None:
    merged = lorarar.merge(*FILES, weights=[1, 0.5], rank=4)
    assert repr(merged).startswith("LoRA(embedded, 56 layers: 56 unet, rank 4, norm ")
    (file,) = lorarar.save(merged, tmp_path / "merged.safetensors", dtype="bf16")
    report = lorarar.inspect(file)
    assert (report.metadata["lorarar.method"], report.dtypes) == ("layerwise", {"bf16": 112})
    assert repr(report).startswith(f"{file}: ")
    with pytest.raises(lorarar.storage.FormatError, match="exists already: .*`force=True`"):
        lorarar.save(merged, file)
    assert "cosine" in repr(lorarar.inspect(file, FILES[0]))


def test_generate_gives_the_images_of_the_command(tmp_path: Path) -> None:
    base = EMBEDDED / "base"
    words = ["generate", "--base", str(base), "--lora", str(FILES[0]), "--lora", str(FILES[1])]
    words += ["--steps", "2", "--guidance", "1", "--seeds", "3,4", "--prompt", PROMPT, "-o", str(tmp_path)]
    assert main(words) == 0
    settings = {"prompt": PROMPT, "seeds": [3, 4], "steps": 2, "guidance": 1.0}
    images = lorarar.generate(base, FILES, **settings)
    for seed, image in zip((3, 4), images, strict=True):
        assert np.array_equal(np.asarray(image), np.asarray(Image.open(tmp_path / f"{seed}.png")))
    assert images._repr_html_().count('<img src="data:image/png;base64,') == 2
    (alone,) = lorarar.generate(base, lorarar.merge(FILES), prompt=PROMPT, seeds=[4], steps=2, guidance=1.0)
    assert np.array_equal(np.asarray(alone), np.asarray(images[1]))


def test_the_map_names_what_it_offers() -> None:
    assert lorarar.__doc__ is not None
    assert [name for name in [*NAMES, "__version__"] if name not in lorarar.__doc__] == []
    assert (ROOT / "lorarar" / "py.typed").is_file()
