"""lorarar.benchmark.quality: one small run from a configuration to a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

import lorarar.benchmark.quality.cells as cells
import lorarar.benchmark.quality.optimised as optimised
from lorarar.benchmark.quality.builders import build_method
from lorarar.benchmark.quality.config import QualityConfig, RowConfig, RowKind
from lorarar.benchmark.quality.inputs import load_inputs
from lorarar.benchmark.quality.run import plan_quality, run_quality
from lorarar.benchmark.quality.settings import read_settings
from lorarar.datasets.images import to_bytes
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.conditioning import Conditioning
from lorarar.diffusion.loading import load_backbone
from lorarar.diffusion.sampling import sample_loras
from lorarar.diffusion.settings import Sampling
from lorarar.formats.loading import load
from lorarar.hypernetwork.checkpoint import load_network
from lorarar.lora.coefficients import merge_exactly
from lorarar.lora.lora import LoRA
from lorarar.mergers.combination import combine
from lorarar.mergers.methods.direct import direct
from lorarar.mergers.request import MergeRequest
from lorarar.storage.cards import ArtefactError
from lorarar.storage.locations import EMBEDDED, NETWORKS
from lorarar.storage.run_folder import ConfigError
from lorarar.training.pair_optimiser import PairOptimiser

PAIR = "test_content_01+test_style_00"


def rows() -> list[RowConfig]:
    """One of each kind, as small as it can be."""
    small = {"steps": 1, "learning_rate": 0.01, "images": 1}
    trained = {
        "recipe.steps": 1,
        "validate_every": 1,
        "options.group": "projection",
        "classifier": None,
        "monitor": "validation/loss",
        "mode": "min",
    }
    return [
        RowConfig("base", "base"),
        RowConfig("style alone", "style"),
        RowConfig("direct", "merger", "direct"),
        RowConfig("TIES", "merger", "ties", {"density": 0.5}),
        RowConfig("composite", "merger", "composite"),
        RowConfig("ZipLoRA", "pair", "ziplora", {"steps": 2, "predicted": ["to_q"]}),
        RowConfig("truth", "truth", "", small),
        RowConfig("joint", "joint", "", {"rank": 2, "alphas": [2], **small}),
        RowConfig("constant", "trained", "configs/train/embedded_constant.yaml", trained, training_seeds=(0, 1)),
    ]


@pytest.fixture
def whole(config: QualityConfig, splits_file: Path) -> QualityConfig:
    methods = rows()
    methods[-1].settings.update(splits=str(splits_file), split="tiny")
    return replace(config, methods=methods, compared=[["ZipLoRA", "direct"]], judge="tiny")


@pytest.mark.slow
def test_every_kind_of_row_is_scored_and_a_second_run_computes_nothing(
    whole: QualityConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(whole, seeds=(0,))
    text = run_quality(whole)
    record = json.loads((whole.output / "results.json").read_text())
    times = json.loads((whole.output / "times.json").read_text())
    assert set(record["methods"]) == {row.name for row in rows()}
    assert record["pairs"] == [f"test_content_{c}+test_style_{s}" for c in ("00", "01") for s in ("00", "01")]
    assert set(record["judge"]["methods"]) == set(record["methods"])
    assert record["best"] not in ("base", "style alone", "truth", "joint")
    assert {c["first"] for c in record["compared"]["joint"]} == {"ZipLoRA"}
    assert record["methods"]["ZipLoRA"]["facts"].keys() == {"loss_before", "loss_after", "steps", "summed"}
    assert len(record["methods"]["constant"]["joint_of_training_seeds"]) == 2
    assert times.keys() == {"direct", "TIES", "ZipLoRA", "truth", "joint", "constant"}
    assert text.count("\n") == len(rows()) + 2
    for name in ("pareto.png", "contact_sheet.png"):
        with Image.open(whole.output / name) as picture:
            assert min(picture.size) > 100
    before = {path: path.read_bytes() for path in whole.output.glob("*.json")}
    monkeypatch.setattr(cells, "_compute", None)  # nothing is computed again
    run_quality(whole)
    assert {path: path.read_bytes() for path in whole.output.glob("*.json")} == before


@pytest.mark.parametrize(
    ("kind", "source", "settings"),
    [pytest.param("pair", "ziplora", {"steps": 1, "images": 1}, marks=pytest.mark.slow), ("merger", "composite", {})],
)
def test_with_little_memory_images_are_sampled_one_by_one_and_are_the_same(
    kind: RowKind, source: str, settings: dict[str, int], config: QualityConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, results = list[int](), []
    sample = Backbone.sample

    def counting(backbone: Backbone, conditioning: Conditioning, latents: Tensor, *more: float) -> Tensor:
        batches.append(len(latents))
        return sample(backbone, conditioning, latents, *more)

    monkeypatch.setattr(Backbone, "sample", counting)
    for low in (False, True):
        inputs = load_inputs(replace(config, low_memory=low))
        assert (inputs.backbone.denoiser.is_gradient_checkpointing, inputs.backbone.offload) == (low, low)
        method, pairs = build_method(inputs, read_settings(kind, source, settings)), inputs.pairs()[:1]
        results.append(method.draw(pairs, method.merge(pairs), (0, 1, 2)))
    assert batches == [3, 1, 1, 1]
    assert_close(results[0], results[1], atol=1e-4, rtol=0)


def test_the_images_are_those_of_the_merge(config: QualityConfig) -> None:
    run_quality(config)
    loras = [load(EMBEDDED / "loras" / f"{name}.safetensors") for name in PAIR.split("+")]
    concept = next(
        c
        for c in yaml.safe_load((EMBEDDED / "concepts.yaml").read_text())["concepts"]
        if c["name"] == "test_content_01"
    )
    merged = merge_exactly(loras, direct(loras))
    with torch.no_grad():
        images = sample_loras(
            load_backbone(config.base, device="cpu"),
            [merged],
            [f"{concept['prompt']} in szn style"],
            config.seeds,
            Sampling(2, 2.5),
        )
    for image, seed in zip(images[0], config.seeds, strict=True):
        kept = cells.read_cell_image(config.runs / "images" / "direct" / PAIR / f"{seed}.png")
        # A batch of other pairs rounds otherwise.
        assert (torch.tensor(to_bytes(image)).permute(2, 0, 1) / 255 - kept).abs().max() < 3 / 255


@pytest.mark.slow
def test_a_lost_image_is_sampled_again_and_the_results_stay(config: QualityConfig) -> None:
    run_quality(config)
    before = (config.output / "results.json").read_bytes()
    lost = config.runs / "images" / "direct" / PAIR / "1.png"
    content = lost.read_bytes()
    lost.write_bytes(b"damaged")
    run_quality(config)
    assert lost.read_bytes() == content
    assert (config.output / "results.json").read_bytes() == before


def test_settings_are_chosen_on_validation_pairs(tuned: QualityConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[set[str]] = []

    def score(classifier: object, images: torch.Tensor, truths: object) -> dict[str, torch.Tensor]:
        worth = images.std(dim=(2, 3, 4))  # images without any LoRA score otherwise
        return dict.fromkeys(("content", "style", "joint", "strict"), worth)

    compute = cells._compute

    def recorded(inputs: object, method: object, seeds: object, places: list[cells._Place]) -> list[cells.ScoredCell]:
        computed.append({place.pair.name for place in places})
        return compute(inputs, method, seeds, places)  # type: ignore[arg-type]

    monkeypatch.setattr(cells, "score_images", score)
    monkeypatch.setattr(cells, "_compute", recorded)
    run_quality(replace(tuned, methods=tuned.methods[2:]))
    assert all(name.startswith("validation") for names in computed[:4] for name in names)
    assert all(name.startswith("test") for names in computed[4:] for name in names)
    row = json.loads((tuned.output / "results.json").read_text())["methods"]["scalars"]
    joint = [trial["joint"] for trial in row["tried"]]
    assert joint[0] != joint[1]
    assert row["settings"] == row["tried"][joint.index(max(joint))]["settings"]


@pytest.mark.slow
def test_without_a_classifier_the_judge_scores(config: QualityConfig) -> None:
    text = run_quality(replace(config, classifier=None, judge="tiny"))
    record = json.loads((config.output / "results.json").read_text())
    assert record["methods"]["direct"]["joint"]["mean"] == record["judge"]["methods"]["direct"]["mars2"]
    assert text.count("\n") == 4


def test_the_plan_counts_and_writes_nothing(tuned: QualityConfig) -> None:
    text = plan_quality(tuned)
    images = 3 * 4 * 2 + 2 * 4  # rows x pairs x seeds, and two trials on four validation pairs
    assert text.startswith(f"3 rows, 4 pairs, {images} images (24 kept)")
    assert not tuned.runs.exists()
    assert not tuned.output.exists()


def test_a_changed_configuration_is_refused_and_shown(config: QualityConfig) -> None:
    run_quality(config)
    with pytest.raises(ConfigError, match=r"steps: 2 there, 3 here.*name another folder"):
        run_quality(replace(config, steps=3))
    with pytest.raises(ConfigError, match=r"equivalence_margin: none there, 0.03 here"):  # after the scores are known
        run_quality(replace(config, equivalence_margin=0.03))
    run_quality(replace(config, methods=config.methods[:1]))  # rows may come and go


def test_a_missing_lora_is_named(config: QualityConfig, tmp_path: Path) -> None:
    for name in ("test_content_00", "test_content_01", "test_style_00"):
        (tmp_path / f"{name}.safetensors").write_bytes((EMBEDDED / "loras" / f"{name}.safetensors").read_bytes())
    with pytest.raises(ArtefactError, match=r"1 lack one, first \['test_style_01'\]"):
        run_quality(replace(config, loras=tmp_path))
    plan = plan_quality(replace(config, loras=tmp_path))
    assert plan.startswith("2 rows, 4 pairs, ")
    assert plan.endswith(
        f". 1 of 4 LoRAs are missing in {tmp_path}, first test_style_01: run `lorarar zoo` before the benchmark"
    )
    assert "4 of 4 LoRAs" in plan_quality(replace(config, loras=tmp_path / "later"))
    assert "missing" not in plan_quality(config)


def test_a_leak_between_splits_is_refused(config: QualityConfig, splits_file: Path, tmp_path: Path) -> None:
    splits = yaml.safe_load(splits_file.read_text())
    splits["splits"]["tiny"]["train"]["styles"].append("test_style_01")
    (tmp_path / "leak.yaml").write_text(yaml.safe_dump(splits))
    with pytest.raises(ValueError, match="expected disjoint splits, found 'test_style_01'"):
        run_quality(replace(config, splits=tmp_path / "leak.yaml"))


def test_settings_are_never_chosen_on_what_is_compared(tuned: QualityConfig) -> None:
    with pytest.raises(ConfigError, match="expected two of the splits"):
        run_quality(replace(tuned, tuned_on="test"))


def test_a_wrong_setting_names_its_row(config: QualityConfig) -> None:
    wrong = RowConfig("odd one", "merger", "ties", {"densitty": 0.5})
    for function in (plan_quality, run_quality):
        with pytest.raises(ConfigError, match=r"odd one: .*did you mean 'density'"):
            function(replace(config, methods=[wrong]))
    assert not config.runs.exists()


def test_nothing_is_left_of_a_cell_that_could_not_be_written(
    config: QualityConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cells, "save_image", full)
    with pytest.raises(OSError, match="No space left"):
        run_quality(config)
    assert not list(config.runs.rglob("*.json"))[1:]  # only the configuration
    assert not config.output.exists()


@pytest.mark.slow
def test_a_merger_can_get_the_loras_of_another_pair(whole: QualityConfig) -> None:
    settings = {key: value for key, value in whole.methods[-1].settings.items() if key != "options.group"}
    own = RowConfig("own", "trained", "configs/train/embedded_paper.yaml", settings)
    other = replace(own, name="other", settings={**settings, "other_pair": True})
    config = replace(whole, methods=[own, other], compared=[], judge=None)
    run_quality(config)
    inputs = load_inputs(config)
    merger = load_network(next(config.trainings.glob("*.safetensors"))).module
    pair = inputs.pairs()[1]
    assert inputs.next_pair(pair).name == "test_content_01+test_style_00"
    for row, seen in zip(inputs.rows, (pair, inputs.next_pair(pair)), strict=True):
        (merge,) = build_method(inputs, row.own.settings).merge([pair])
        expected = merge_exactly(inputs.pair_loras(pair), merger(inputs.pair_loras(seen)))
        assert merge.lora is not None
        layer = next(la for la in expected.layers if la.endswith("to_q"))
        assert torch.equal(merge.lora.layers[layer].A, expected.layers[layer].A)
    images = [(config.runs / "images" / name / pair.name / "0.png").read_bytes() for name in ("own", "other")]
    assert images[0] != images[1]


def test_a_model_may_describe_the_loras_of_a_pair(whole: QualityConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def describe(optimiser: PairOptimiser, loras: Sequence[LoRA]) -> PairOptimiser:
        assert [lora.name for lora in loras] == [lora.name for lora in inputs.pair_loras(pair)]
        words = {"content_description": f"a {optimiser.inputs.content_prompt}", "style_description": "ink style"}
        return replace(optimiser, inputs=replace(optimiser.inputs, **words))

    monkeypatch.setattr(optimised, "describe_loras", describe)
    inputs = load_inputs(whole)
    pair = inputs.pairs()[1]
    assert optimised._described(inputs, pair, "x").description == f"a {pair.content.phrase} in ink style"
    method = build_method(inputs, read_settings("pair", "text_guided", {"describe": "openai:m@u"}))
    assert method.identity["describe"] == "openai:m@u"


def test_a_pair_starts_from_a_trained_merger_and_may_use_true_descriptions(whole: QualityConfig) -> None:
    file = NETWORKS / "constant.safetensors"
    settings = {"init": str(file), "steps": 1, "learning_rate": 1e-9}
    inputs = load_inputs(whole)
    pair = inputs.pairs()[1]
    expected = merge_exactly(inputs.pair_loras(pair), load_network(file).module(inputs.pair_loras(pair)))
    layer = next(la for la in expected.layers if la.endswith("to_q"))
    losses = {}
    for source, described in (("ziplora", {}), ("text_guided", {"true_descriptions": True})):
        row_settings = read_settings("pair", source, settings | described)
        assert row_settings.competes == (source == "ziplora")
        method = build_method(inputs, row_settings)
        assert "init" in method.identity
        (merge,) = method.merge([pair])
        assert merge.lora is not None
        assert_close(merge.lora.layers[layer].delta(), expected.layers[layer].delta(), rtol=1e-4, atol=1e-5)
        losses[source] = merge.facts["loss_before"]
    assert losses["ziplora"] != losses["text_guided"]
    style = inputs.loras[pair.style.name]
    longer = replace(style, layers={path: replace(delta, scale=4.0) for path, delta in style.layers.items()})
    unequal = replace(inputs, loras={**inputs.loras, pair.style.name: longer})
    row_settings = read_settings("pair", "ziplora", {"balance": 1.0, "steps": 1, "learning_rate": 1e-9})
    (merge,) = build_method(unequal, row_settings).merge([pair])
    direct = combine(unequal.pair_loras(pair), MergeRequest("direct", balance=1.0)).lora
    assert merge.lora is not None
    assert_close(merge.lora.layers[layer].delta(), direct.layers[layer].delta(), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="a description of both concepts"):  # the manifest of a test split holds none
        build_method(inputs, read_settings("pair", "text_guided", {"steps": 1})).merge([pair])
