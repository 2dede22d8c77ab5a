"""lorarar.cli.main: commands from zoo to images; mistakes end with one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.testing import assert_close

from lorarar import merge
from lorarar.cli.main import main
from lorarar.formats.loading import load
from lorarar.formats.writing import save
from tests.tiny import two_block_lora


def write(path: Path, **values: object) -> str:
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_the_pipeline_from_concepts_to_images(
    base: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, loras = str(folder / "concepts.yaml"), tmp_path / "loras"
    shared = {"base": str(base), "manifests": [manifest], "splits": manifest, "split": "tiny"}
    recipe = {"rank": 2, "alphas": [1, 2], "steps": 2, "images": 1, "learning_rate": 1e-2}
    zoo = write(
        tmp_path / "zoo.yaml",
        **shared,
        images=str(folder / "images"),
        output=str(loras),
        runs=str(tmp_path / "zoo"),
        recipe=recipe,
    )
    train = write(
        tmp_path / "train.yaml",
        **shared,
        images=str(folder / "images"),
        loras=str(loras),
        runs=str(tmp_path / "train"),
        merger="paper",
        options={"hidden": 4},
        recipe={"steps": 2, "learning_rate": 1e-3},
        loss_weights={"combined": 1.0},
        validate_every=2,
        wandb="disabled",
    )
    merger, merged, images = (
        tmp_path / "train" / "merger.safetensors",
        tmp_path / "merged.safetensors",
        tmp_path / "out",
    )
    content, style = loras / "train_content_00.safetensors", loras / "train_style_00.safetensors"
    alone, prompt = tmp_path / "alone", "a sks cat in szn style"
    for argv, expected in (
        (["zoo", zoo, "group=6"], f"6 LoRAs in {loras}"),
        (["dreambooth", zoo, "concept=train_style_01", f"output={alone}"], str(alone / "train_style_01.safetensors")),
        (["train", train], str(merger)),
        (["merge", str(content), str(style), "-o", str(merged), "--network", str(merger)], "56 layers"),
        (
            [*f"generate --base {base} --lora {merged} --steps 1 --seeds 1,2 -o {images} --prompt".split(), prompt],
            f"{images / '1.png'}\n{images / '2.png'}",
        ),
    ):
        code = main(argv)
        out, err = capsys.readouterr()
        assert code == 0, err
        assert expected in out
    assert len(list(images.glob("*.png"))) == 2
    assert (alone / "train_style_01.card.json").is_file()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "cat.safetensors", tmp_path / "oil.safetensors"
    for i, path in enumerate(paths):
        save(two_block_lora(2, seed=50 * i), path)
    return paths


def test_mistakes_end_with_one_line(
    base: Path, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cat, oil = map(str, files)
    broken = tmp_path / "broken.yaml"
    broken.write_text("base: [")
    out = str(tmp_path / "out.safetensors")
    for argv, expected in (
        (["merge", cat, "nowhere.safetensors", "-o", out], "nowhere.safetensors does not exist"),
        (["merge", cat, oil, "-o", cat], "exists already: choose another name"),
        (["merge", cat, oil, "-o", f"{oil}/x.safetensors"], "does not exist, create it first"),
        (["merge", cat, oil, "-o", out, "--network", oil], "is not a learned merger"),
        (["zoo", "nowhere.yaml"], "found no nowhere.yaml"),
        (["zoo", str(broken)], "broken.yaml"),
        (["generate", "--base", str(tmp_path), "--prompt", "x", "-o", out], "folder with model_index.json"),
        (["generate", "--base", str(base), "--prompt", "x", "--steps", "1", "-o", f"{oil}/x"], "oil.safetensors"),
    ):
        assert main(argv) == 1, argv
        printed, err = capsys.readouterr()
        assert printed == ""
        assert err.startswith("lorarar: ")
        assert expected in err
        assert err.count("\n") == 1
        assert "Traceback" not in err
    assert not Path(out).exists()


def test_a_closed_output_pipe_is_not_reported_as_an_error() -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; sys.stdin.read(); from lorarar.cli.main import entry; entry()",
        "mergers",
    ]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        process.stdout.close()  # before anything is written
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_force_and_format_reach_the_merge(files: tuple[Path, Path], tmp_path: Path) -> None:
    argv = ["merge", *map(str, files), "-o", str(tmp_path / "x"), "--format", "peft", "--dtype", "fp32"]
    assert main(argv) == 0
    assert (tmp_path / "x" / "adapter_config.json").is_file()
    assert main(argv) == 1
    assert main([*argv, "--force"]) == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("imagine zoo.yaml", "expected synthesise, found its old name imagine: use the new name"),
        ("toyworld reader world.yaml", "expected world, found its old name toyworld: use the new name"),
        ("merge a b -o c --start n", "expected --init, found its old name --start: use the new name"),
        ("merge a b -o c --start=n", "expected --init, found its old name --start: use the new name"),
        (
            "merge a b --merger words -o c",
            "expected --merger text_guided, found its old name --merger words: use the new",
        ),
        ("merge a b --merger=invariant", "expected --merger layerwise, found its old name --merger invariant: use the"),
        ("merge a b -o c --hypernetwork n", "expected --network, found its old name --hypernetwork: use the new name"),
        ("generate --seed 1", "expected --seeds, found its old name --seed: use the new name"),
        ("generate --merger words", "expected --merger text_guided, found its old name --merger words: use the new"),
    ],
)
def test_old_names_are_refused_with_the_new_name_in_one_line(
    argv: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv.split()) == 2
    printed, err = capsys.readouterr()
    assert printed == ""
    assert err.startswith(f"lorarar: {message}")
    assert err.count("\n") == 1


def test_loras_that_clash_are_named(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(two_block_lora(2, width=8), files[1], force=True)
    assert main(["merge", *map(str, files), "-o", str(tmp_path / "x.safetensors")]) == 1
    assert (
        "cat.safetensors and oil.safetensors were made for different base models: 8 layers" in capsys.readouterr().err
    )


def test_every_setting_reaches_the_merge(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = "--merger ties --option density=0.3 --weights 0.5,2 --block mid_block=0,1 --rank 1 --json --dtype bf16"
    assert main(["merge", *map(str, files), "-o", str(tmp_path / "x.safetensors"), *argv.split()]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["method"]["options"] == {"density": 0.3}
    assert [entry["weight"] for entry in found["inputs"]] == [0.5, 2.0]
    assert found["rank"] == 1
    merged = load(tmp_path / "x.safetensors")
    assert {f.A.dtype for f in merged.layers.values()} == {torch.bfloat16}
    style, layer = load(files[1]), "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    alone = merge(style, merger="ties", weights=[2], options={"density": 0.3}, rank=1)  # the content's share is 0
    assert_close(merged.layers[layer].delta(), alone.layers[layer].delta(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("argv", ["--option densty=1", "--block nowhere=1", "--weights 1,2,3"])
def test_a_setting_that_does_not_fit_is_refused(
    files: tuple[Path, Path], argv: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", *map(str, files), "-o", str(tmp_path / "x.safetensors"), *argv.split()]) == 1
    assert capsys.readouterr().err.startswith("lorarar: ")
    assert not (tmp_path / "x.safetensors").exists()
