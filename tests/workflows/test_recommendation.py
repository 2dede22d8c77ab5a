"""lorarar.workflows.recommendation: what files are, and which command merges them."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lorarar import load, save
from lorarar.cli.main import main
from lorarar.lora.lora import LoRA
from lorarar.lora.weights import input_weights, weight_loras
from lorarar.storage import EMBEDDED
from lorarar.workflows.recommendation import recommend
from tests.tiny import two_block_lora

CONTENT, STYLE, OTHER = (
    EMBEDDED / "loras" / f"{name}.safetensors" for name in ("test_content_01", "test_style_02", "test_style_03")
)


def test_a_style_and_a_content_are_put_in_order(capsys) -> None:
    result = recommend([STYLE, CONTENT])
    assert [(facts.kind, facts.source, facts.probability) for facts in result.files] == [
        ("style", "the header", 1.0),
        ("content", "the header", 1.0),
    ]
    assert result.method == "layerwise"
    assert result.command == f"lorarar merge {CONTENT} {STYLE} -o merged.safetensors"
    (meeting,) = result.collisions
    a, b = (load(path) for path in (CONTENT, STYLE))
    assert meeting.ratio == pytest.approx(result.files[1].length / result.files[0].length)
    assert abs(meeting.cosine) < 0.05
    assert result.order == (1, 0)
    assert {part.block for part in meeting.blocks} == {
        layer.partition(".attentions")[0] for layer in [*a.layers, *b.layers]
    }
    assert any("content comes first" in reason for reason in result.reasons)
    assert main(["recommend", str(STYLE), str(CONTENT)]) == 0
    assert capsys.readouterr().out == result.text() + "\n"
    assert main(["recommend", str(STYLE), str(CONTENT), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == result.command


def written(folder: Path, **loras: LoRA) -> list[Path]:
    paths = [folder / f"{name}.safetensors" for name in loras]
    for path, lora in zip(paths, loras.values(), strict=True):
        save(lora, path)
    return paths


def test_a_kind_that_no_file_states_is_predicted_with_its_probability(tmp_path: Path) -> None:
    paths = written(tmp_path, a=replace(load(STYLE), metadata={}), b=replace(load(CONTENT), metadata={}))
    result = recommend(paths)
    assert [(facts.kind, facts.source) for facts in result.files] == [
        ("style", "the spectrum"),
        ("content", "the spectrum"),
    ]
    assert all(0.5 <= facts.probability < 1 for facts in result.files if facts.probability)
    assert f"lorarar merge {paths[1]} {paths[0]}" in result.command


def test_files_of_an_unknown_family_get_the_rule(tmp_path: Path) -> None:
    long, short = two_block_lora(2, seed=1), two_block_lora(3, seed=40)
    (long,) = weight_loras([long], input_weights([long], [20.0]))
    result = recommend(written(tmp_path, long=long, short=short))
    assert result.method == "auto"
    assert "--merger" not in result.command
    assert any("-fold in length" in reason for reason in result.reasons)
    assert result.files[0].kind == ""
    assert "content or style unknown, rank 2" in result.text()


def test_states_of_one_training_are_averaged(tmp_path: Path) -> None:
    (lora,) = weight_loras([load(CONTENT)], input_weights([load(CONTENT)], [0.9]))
    result = recommend(written(tmp_path, early=lora, late=load(CONTENT)))
    assert result.method == "average"
    assert result.command.endswith("--merger average")


def test_the_command_names_the_base_that_files_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "my base"
    base.symlink_to(EMBEDDED / "base")
    tensors = load_file(CONTENT)
    name = next(key for key in tensors if key.endswith(".lora_B.weight"))
    magnitude = {name.replace(".lora_B.weight", ".lora_magnitude_vector"): torch.ones(len(tensors[name]))}
    save_file(tensors | magnitude, tmp_path / "dora.safetensors")
    command = recommend([tmp_path / "dora.safetensors", STYLE], base).command
    assert command.endswith(f" -o merged.safetensors --base '{base}' --format kohya")
    monkeypatch.chdir(tmp_path)
    program, *argv = shlex.split(command)
    assert program == "lorarar"
    assert main(argv) == 0
    assert (tmp_path / "merged.safetensors").is_file()


def test_two_styles_get_the_rule_and_an_accelerator_comes_last(tmp_path: Path) -> None:
    paths = written(tmp_path, lcm=load(CONTENT), ink=load(STYLE), oil=load(OTHER))
    result = recommend(paths)
    assert result.command == f"lorarar merge {paths[1]} {paths[2]} {paths[0]} -o merged.safetensors --merger auto"
    assert [facts.kind for facts in result.files] == ["accelerator", "style", "style"]
    assert [meeting.files for meeting in result.collisions] == [(str(paths[1]), str(paths[2]))]
    assert any("few steps" in reason for reason in result.reasons)
    assert any("All are styles" in reason for reason in result.reasons)


def test_one_file_and_files_of_two_bases(tmp_path: Path) -> None:
    assert recommend([CONTENT]).collisions == ()
    other = replace(two_block_lora(2), family="")
    with pytest.raises(ValueError, match="differ|famil|shape"):
        recommend(
            [
                CONTENT,
                *written(
                    tmp_path,
                    wide=LoRA(
                        {
                            path: two_block_lora(2).layers[q]
                            for path, q in zip(load(CONTENT).layers, other.layers, strict=False)
                        }
                    ),
                ),
            ]
        )
