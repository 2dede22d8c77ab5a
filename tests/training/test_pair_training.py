"""lorarar.training.pair_training: many pairs at once equal each alone, and a MergerTraining; resume; failures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from lorarar.benchmark.embedded import load_embedded
from lorarar.datasets.concepts import Concept, Pair
from lorarar.datasets.splits import Split
from lorarar.diffusion.backbone import Backbone
from lorarar.hypernetwork.checkpoint import load_network, save_merger
from lorarar.lora.lora import LoRA, projection
from lorarar.mergers.loss_weights import LossWeights
from lorarar.mergers.methods.average import average
from lorarar.mergers.methods.direct import direct
from lorarar.mergers.optimised.cat import CAT
from lorarar.mergers.optimised.pair_method import PairMethod
from lorarar.mergers.optimised.ziplora import ZIPLORA
from lorarar.training.merger_training import MergerTraining
from lorarar.training.pair_training import OptimisedPair, PairTraining, measure_objective, optimise
from lorarar.training.pairs import PairData, PairSampler
from lorarar.training.trainer import DivergenceError
from tests.mergers.cases import times

# At this limit every gradient is clipped, so that each pair's own norm matters.
SHORT = replace(ZIPLORA, recipe=replace(ZIPLORA.recipe, steps=4, clip=1e-3), images=2)
Run = Callable[..., list[OptimisedPair]]


@pytest.fixture
def pairs(concepts: dict[str, Concept]) -> list[Pair]:
    members = product(("train_content_00", "train_content_01"), ("train_style_00", "train_style_01"))
    return [Pair(concepts[content], concepts[style]) for content, style in members][:3]


@pytest.fixture
def run(backbone: Backbone, pairs: list[Pair], loras: dict[str, LoRA]) -> Run:
    def start(method: PairMethod = SHORT, chosen: Sequence[Pair] = pairs, **options: object) -> list[OptimisedPair]:
        return optimise(backbone, chosen, loras, method, **({"held_out": 1} | options))

    return start


def values(found: Sequence[OptimisedPair]) -> list[torch.Tensor]:
    return [one.merger.values for one in found]


@pytest.mark.parametrize(
    "method",
    [
        SHORT,
        pytest.param(replace(SHORT, weights=LossWeights(combined=1.0)), marks=pytest.mark.slow),
        replace(CAT, recipe=SHORT.recipe),
    ],
    ids=["ziplora", "combined", "cat"],
)
def test_pairs_in_one_batch_equal_each_alone(run: Run, pairs: list[Pair], method: PairMethod) -> None:
    two = [pairs[0], pairs[2]]
    together, alone = run(method, two), [run(method, [pair])[0] for pair in two]
    assert [one.pair for one in together] == [pair.name for pair in two]
    for a, b in zip(together, alone, strict=True):
        assert_close(a.merger.values, b.merger.values, rtol=0, atol=2e-4)
        assert a.before == pytest.approx(b.before, rel=1e-3)
        assert a.after == pytest.approx(b.after, rel=1e-3)
    first, second = values(together)
    assert (first - second).abs().max() > 5e-3  # each has its own
    assert (first - 1).abs().max() > 2e-2  # and all have moved


def test_a_pair_is_optimised_as_the_trainer_of_all_mergers_does_it(
    run: Run,
    backbone: Backbone,
    pairs: list[Pair],
    loras: dict[str, LoRA],
    concepts: dict[str, Concept],
    splits: dict[str, Split],
) -> None:
    data = PairData(backbone, concepts, splits, loras, pairs=1, images=2, seed=0)
    merger = SHORT.initial(data.sampler.loras_of(pairs[0]))
    module = MergerTraining(merger, backbone, data, SHORT.recipe, SHORT.weights)
    module.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign] # there is no trainer
    optimiser = module.configure_optimizers()
    for step in range(4):
        optimiser.zero_grad()
        module.losses([data.sampler.batch(pairs[0], 2, (0, "step", step))], backward=True)
        nn.utils.clip_grad_norm_(merger.parameters(), SHORT.recipe.clip)
        optimiser.step()
    assert_close(run()[0].merger.values, merger.values.data, rtol=0, atol=2e-4)


def test_the_result_holds_coefficients_steps_and_objective(
    run: Run, pairs: list[Pair], loras: dict[str, LoRA], tmp_path: Path
) -> None:
    method = replace(CAT, recipe=SHORT.recipe, predicted=("to_q", "to_out"), fixed=0.5)
    found = run(method, pairs[:1])[0]
    both = [loras[name] for name in found.pair.split("+")]
    assert found.steps == 4
    for layer, vectors in found.coefficients.layers.items():
        free = projection(layer) in ("to_q", "to_out")
        assert all(not m.requires_grad and len(m.unique()) == 1 and (m.unique() == 0.5) != free for m in vectors)
    save_merger(found.merger, tmp_path / "pair.safetensors")
    again = load_network(tmp_path / "pair.safetensors").module(both)
    assert all(torch.equal(again.layers[la][i], m[i]) for la, m in found.coefficients.layers.items() for i in (0, 1))
    for terms in (found.before, found.after):
        assert terms["loss"] == pytest.approx(terms["content"] + terms["style"])  # lambda is 0


def test_the_objective_before_is_that_of_direct_merging(
    run: Run, backbone: Backbone, pairs: list[Pair], loras: dict[str, LoRA]
) -> None:
    sampler = PairSampler(backbone, [pairs[0].content, pairs[0].style], loras)
    module = PairTraining(sampler, pairs[:1], SHORT)
    module.mergers = nn.ModuleList([_Direct()])
    (expected,) = measure_objective(module, 3)
    short = replace(SHORT, recipe=replace(SHORT.recipe, steps=1))
    (found,) = run(short, pairs[:1], held_out=3)
    assert found.before == pytest.approx(expected, rel=1e-4)
    assert (
        run(replace(short, seed=1), pairs[:1], held_out=3)[0].before == found.before
    )  # the held-out batches never change
    assert measure_objective(module, 2) != [expected]


class _Direct(nn.Module):
    def forward(self, loras: Sequence[LoRA]) -> object:
        return direct(loras)


@pytest.mark.slow
def test_a_pair_that_no_longer_improves_stops_alone(run: Run, pairs: list[Pair], tmp_path: Path) -> None:
    method = replace(SHORT, recipe=replace(SHORT.recipe, steps=12, learning_rate=1e-3), patience=2, images=1)
    together = run(method)
    steps = [one.steps for one in together]
    assert min(steps) < 12
    assert len(set(steps)) > 1
    last = steps.index(min(steps))
    alone = run(method, [pairs[last]], runs=tmp_path)[0]
    assert alone.steps == steps[last]
    assert torch.equal(*values([alone, *run(method, [pairs[last]], runs=tmp_path)]))  # it stays where it stopped
    assert_close(alone.merger.values, together[last].merger.values, rtol=0, atol=5e-4)
    recipe = replace(method.recipe, steps=steps[last])
    shorter = run(replace(method, recipe=recipe, patience=0), [pairs[last]])[0]
    assert_close(alone.merger.values, shorter.merger.values, rtol=0, atol=5e-4)


def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    run: Run, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    method = replace(SHORT, patience=50, images=1)
    whole = run(method, pairs[:1])
    steps: list[int] = []
    original = PairTraining.training_step

    def training_step(self: PairTraining, batch: int, index: int) -> None:
        steps.append(self.global_step)
        if len(steps) == 4:
            raise ZeroDivisionError
        original(self, batch, index)

    monkeypatch.setattr(PairTraining, "training_step", training_step)
    with pytest.raises(ZeroDivisionError):
        run(method, pairs[:1], runs=tmp_path, checkpoint_every=2)
    resumed = run(method, pairs[:1], runs=tmp_path, checkpoint_every=2)
    assert steps == [0, 1, 2, 3, 2, 3]
    assert all(torch.equal(a, b) for a, b in zip(values(whole), values(resumed), strict=True))
    assert [one.steps for one in resumed] == [4]
    assert [one.before for one in resumed] == [one.before for one in whole]


def test_the_seed_changes_the_batches_and_other_settings_do_not_resume_from_a_checkpoint(
    run: Run, pairs: list[Pair], tmp_path: Path
) -> None:
    short = replace(SHORT, recipe=replace(SHORT.recipe, steps=2))
    other = replace(short, seed=1)
    first, second = (run(method, pairs[:1], runs=tmp_path)[0].merger.values for method in (short, other))
    assert (first - second).abs().max() > 1e-3
    assert torch.equal(second, run(other, pairs[:1])[0].merger.values)


def test_other_initial_coefficients_do_not_resume_from_a_checkpoint(
    run: Run, pairs: list[Pair], tmp_path: Path
) -> None:
    short = replace(CAT, recipe=replace(CAT.recipe, steps=1, learning_rate=1e-9))
    (first,) = values(run(short, pairs[:1], runs=tmp_path))
    (second,) = values(run(short, pairs[:1], runs=tmp_path, init=average))
    assert_close(first, torch.ones_like(first))
    assert_close(second, torch.full_like(second, 0.5))


def test_the_last_checkpoint_is_kept_without_a_notice_of_lightning(
    run: Run, pairs: list[Pair], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.trainer.connectors.checkpoint_connector"):
        run(replace(SHORT, recipe=replace(SHORT.recipe, steps=1)), pairs[:1], runs=tmp_path)
    assert [*tmp_path.rglob("last.ckpt")]
    assert "weights_only" not in caplog.text


def test_loras_at_other_lengths_do_not_resume_from_a_checkpoint(
    backbone: Backbone, pairs: list[Pair], loras: dict[str, LoRA], tmp_path: Path
) -> None:
    stronger = {name: times(lora, 2.0) for name, lora in loras.items()}  # of the same files
    found = [optimise(backbone, pairs[:1], given, SHORT, runs=tmp_path, held_out=1) for given in (loras, stronger)]
    fresh = optimise(backbone, pairs[:1], stronger, SHORT, held_out=1)
    assert torch.equal(values(found[1])[0], values(fresh)[0])
    assert not torch.equal(values(found[0])[0], values(fresh)[0])


def test_a_loss_that_is_not_a_number_stops_with_step_and_pair(
    run: Run, pairs: list[Pair], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original = PairTraining.training_step

    def training_step(self: PairTraining, batch: int, index: int) -> None:
        if self.global_step == 2:
            with torch.no_grad():
                self.mergers[1].values.fill_(torch.nan)
        original(self, batch, index)

    monkeypatch.setattr(PairTraining, "training_step", training_step)
    with pytest.raises(DivergenceError, match=r"found \['nan'\] at step 2 for pairs") as caught:
        run(runs=tmp_path, checkpoint_every=1)
    assert f"pairs ['{pairs[1].name}']; the last checkpoint is kept: lower learning_rate" in str(caught.value)
    (checkpoint,) = tmp_path.rglob("last.ckpt")
    kept = torch.load(checkpoint, weights_only=True)
    assert kept["global_step"] == 2
    assert all(tensor.isfinite().all() for name, tensor in kept["state_dict"].items() if name.startswith("mergers"))
    assert {name.split(".")[0] for name in kept["state_dict"]} == {"mergers", "smoothed", "best", "waited", "taken"}


def test_a_concept_without_a_lora_is_named(backbone: Backbone, pairs: list[Pair], loras: dict[str, LoRA]) -> None:
    with pytest.raises(KeyError, match="found none for 1, first .'train_style_00'"):
        optimise(backbone, pairs[:1], {name: loras[name] for name in loras if "style" not in name}, SHORT)


@pytest.mark.slow
def test_on_the_embedded_default_the_own_loss_falls_below_a_third_of_direct_merging() -> None:
    """Image quality is another matter: see the benchmark."""
    embedded = load_embedded(["validation"])
    pairs = embedded.pairs("validation")[9:10]
    (found,) = optimise(embedded.backbone, pairs, embedded.loras, ZIPLORA)
    before, after = (terms["content"] + terms["style"] for terms in (found.before, found.after))
    assert before > 0.02
    assert after < before / 3
    assert found.after["similarity"] < found.before["similarity"]
