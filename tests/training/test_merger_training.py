"""lorarar.training.merger_training against the objective on dense weights; resume, the best file, failures."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from lorarar.datasets.concepts import Concept
from lorarar.datasets.splits import Split
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.conditioning import join_conditionings
from lorarar.diffusion.noise import Diffusion
from lorarar.hypernetwork.build import new_merger
from lorarar.hypernetwork.checkpoint import load_network
from lorarar.lora.coefficients import Coefficients
from lorarar.lora.lora import LoRA
from lorarar.mergers.loss_weights import LossWeights
from lorarar.mergers.optimised.recipe import MergerRecipe
from lorarar.training.merger_training import MergerTraining, train_merger
from lorarar.training.pairs import PairBatch, PairData
from lorarar.training.trainer import DivergenceError
from tests.tiny import dense

OPTIONS: dict[str, dict[str, object]] = {"paper": {"hidden": 16}, "layerwise": {"width": 8}, "constant": {}}
Make = Callable[..., MergerTraining]
DEFAULT = LossWeights()


@pytest.fixture
def make(backbone: Backbone, concepts: dict[str, Concept], splits: dict[str, Split], loras: dict[str, LoRA]) -> Make:
    def build(
        kind: str = "paper", weights: LossWeights = DEFAULT, pairs: int = 2, seed: int = 0, **recipe: object
    ) -> MergerTraining:
        data = PairData(backbone, concepts, splits, loras, pairs=pairs, images=2, seed=0)
        torch.manual_seed(seed)
        merger = new_merger(kind, next(iter(loras.values())), OPTIONS[kind])
        return MergerTraining(
            merger, backbone, data, MergerRecipe(**({"steps": 6, "learning_rate": 1e-2} | recipe)), weights
        )

    return build


def train(module: MergerTraining, folder: Path, patience: int = 10, validate_every: int = 2) -> Path:
    return train_merger(
        module,
        folder=folder,
        monitor="validation/loss",
        mode="min",
        validate_every=validate_every,
        patience=patience,
        metadata={"method": "test"},
    )


class Plain:
    """The objective pass by pass, on copies of the denoiser whose weights hold the dense deltas."""

    def __init__(self, backbone: Backbone, pair: PairBatch, coefficients: Coefficients) -> None:
        self.backbone, self.pair, self.m = backbone, pair, coefficients
        content, style = ({la: dense(f) for la, f in lora.layers.items()} for lora in pair.loras)
        width = {la: f.shape[1] for la, f in content.items()}
        m = {la: [v.detach().double().expand(width[la]) for v in row] for la, row in coefficients.layers.items()}
        self.base = self.denoiser({})
        self.content, self.style = self.denoiser(content), self.denoiser(style)
        self.merged = self.denoiser(
            {la: content[la] @ torch.diag(m[la][0]) + style[la] @ torch.diag(m[la][1]) for la in content}
        )

    def denoiser(self, deltas: dict[str, Tensor]) -> nn.Module:
        model = copy.deepcopy(self.backbone.denoiser)
        for layer, delta in deltas.items():
            model.get_submodule(layer).weight.data += delta.float()
        return model

    @torch.no_grad()
    def predict(self, model: nn.Module, noisy: Tensor, timesteps: Tensor, prompt: object) -> Tensor:
        backbone = copy.copy(self.backbone)
        backbone.denoiser = model
        return backbone.predict(noisy, timesteps, prompt)  # type: ignore[arg-type]

    def fidelity(self, side: str) -> Tensor:
        own, teacher = (self.pair.content, self.content) if side == "content" else (self.pair.style, self.style)
        inputs = (own.noisy, own.timesteps, own.conditioning)
        return (self.predict(self.merged, *inputs) - self.predict(teacher, *inputs)).square().mean()

    def combined(self, strengths: tuple[float, float]) -> Tensor:
        errors = []
        turns = [self.pair.combined, self.pair.unconditional] * (len(self.pair.content.noisy) + 1)
        prompts = iter(turns[int(self.pair.content.timesteps[0]) % 2 :])
        for own in (self.pair.content, self.pair.style):
            inputs = (own.noisy, own.timesteps, join_conditionings([next(prompts) for _ in own.noisy]))
            content, style, base = (self.predict(model, *inputs) for model in (self.content, self.style, self.base))
            target = base + strengths[0] * (content - base) + strengths[1] * (style - base)
            errors.append((self.predict(self.merged, *inputs) - target).square())
        return torch.cat(errors).mean()

    def distillation(self) -> Tensor:
        own = self.pair.synthetic
        assert own is not None
        errors = []
        combined, unconditional = (
            join_conditionings([prompt] * len(own.noisy)) for prompt in (self.pair.combined, self.pair.unconditional)
        )
        for prompt, teacher_prompt in ((combined, own.conditioning), (unconditional, unconditional)):
            target = self.predict(self.base, own.noisy, own.timesteps, teacher_prompt)
            errors.append((self.predict(self.merged, own.noisy, own.timesteps, prompt) - target).square())
        return torch.cat(errors).mean()

    def similarity(self) -> Tensor:
        rows = [(c.reshape(-1), s.reshape(-1)) for c, s in self.m.layers.values()]
        return sum((abs(c @ s) / (c.norm() * s.norm()) for c, s in rows), torch.zeros(()))


def test_the_noise_schedule_weights_the_differences(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    module = make("paper", LossWeights(combined=1.0))
    pairs = module.data.training_batch(0)
    before = module.losses(pairs)
    monkeypatch.setattr(Diffusion, "weight", lambda self, timesteps: torch.full(timesteps.shape, 0.5))
    found = module.losses(pairs)
    for term in ("content", "style", "combined"):
        assert found[term] == pytest.approx(before[term] / 4, rel=1e-5)
    assert found["similarity"] == before["similarity"]


@pytest.mark.parametrize("kind", ["paper", "layerwise"])
@pytest.mark.parametrize(
    "weights",
    [LossWeights(), LossWeights(0.7, combined=0.5, similarity=0.03), LossWeights(combined=1.0, strengths=(1.5, 0.5))],
    ids=["paper", "combined", "strengths"],
)
def test_the_objective_equals_a_plain_implementation(make: Make, kind: str, weights: LossWeights) -> None:
    module = make(kind, weights)
    pairs = module.data.training_batch(0)
    assert pairs[0].name != pairs[1].name
    with torch.no_grad():
        found = module.losses(pairs)
        plain = [Plain(module.backbone, pair, module.merger(pair.loras)) for pair in pairs]

    def mean(terms: Sequence[Tensor]) -> float:
        return float(torch.stack(list(terms)).mean())

    expected = {side: mean([p.fidelity(side) for p in plain]) for side in ("content", "style")}
    expected["similarity"] = mean([p.similarity() for p in plain])
    expected["loss"] = weights.fidelity * (expected["content"] + expected["style"])
    expected["loss"] += weights.similarity * expected["similarity"]
    if weights.combined:
        expected["combined"] = mean([p.combined(weights.strengths) for p in plain])
        expected["loss"] += weights.combined * expected["combined"]
    assert found == pytest.approx(expected, rel=1e-3)
    assert min(expected.values()) > 1e-4  # else the test proves nothing


def test_the_distillation_term_equals_a_plain_implementation(make: Make) -> None:
    weights = LossWeights(fidelity=0.0, distillation=0.7, similarity=0.0)
    module = make("constant", weights)
    sampler = module.data.sampler
    sampler.synthetic = {pair.name: torch.randn(2, *module.backbone.latent_shape) for pair in module.data.train_pairs}
    pairs = module.data.training_batch(0)
    with torch.no_grad():
        found = module.losses(pairs)
        plain = [Plain(module.backbone, pair, module.merger(pair.loras)).distillation() for pair in pairs]
    expected = float(torch.stack(plain).mean())
    assert set(found) == {"loss", "distillation", "similarity"}
    assert found["distillation"] == pytest.approx(expected, rel=1e-3)
    assert found["loss"] == pytest.approx(0.7 * expected, rel=1e-3)
    assert expected > 1e-4


def test_gradients_are_those_of_the_loss_and_reach_the_merger_alone(make: Make) -> None:
    module = make("constant", LossWeights(combined=1.0))
    pairs = module.data.training_batch(0)
    backbone = module.backbone
    module.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign] # there is no trainer
    module.losses(pairs, backward=True)
    values = module.merger.values
    assert all(p.grad is None for part in backbone.modules() for p in part.parameters())
    for row, side in ((0, 0), (1, 1)):
        ends = []
        for step in (1e-2, -1e-2):
            with torch.no_grad():
                values[row, side] += step
                ends.append(module.losses(pairs)["loss"])
                values[row, side] -= step
        assert float(values.grad[row, side]) == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rate"), [("paper", 3e-2), ("layerwise", 3e-2), ("constant", 3e-2)])
def test_training_lowers_the_loss(make: Make, kind: str, rate: float, tmp_path: Path) -> None:
    module = make(kind, LossWeights(similarity=0.0), pairs=1, steps=25, learning_rate=rate)
    module.data.train_pairs = module.data.train_pairs[:1]
    fixed = module.data.training_batch(10_000)
    assert_gradient_everywhere(module, fixed)
    with torch.no_grad():
        before = module.losses(fixed)["loss"]
        train(module, tmp_path, validate_every=25)
        after = module.losses(fixed)["loss"]
    assert after < 0.97 * before


def assert_gradient_everywhere(module: MergerTraining, pairs: list[PairBatch]) -> None:
    """Every parameter gets a gradient; our network's hidden layers only once its last one is not zero."""
    module.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign] # there is no trainer
    module.losses(pairs, backward=True)
    for name, parameter in module.merger.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any() or name.startswith(("constant.0", "token.0", "mixed.0")), name
    module.zero_grad()
    del module.manual_backward


def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = make("paper")
    path = train(whole, tmp_path / "whole")
    broken = make("paper")
    original = broken.data.training_batch
    monkeypatch.setattr(broken.data, "training_batch", lambda step, *own: original(step, *own) if step < 5 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(broken, tmp_path / "broken")
    steps: list[int] = []
    resumed = make("paper", seed=1)
    original = resumed.data.training_batch
    monkeypatch.setattr(
        resumed.data, "training_batch", lambda step, *own: (steps.append(step), original(step, *own))[1]
    )
    again = train(resumed, tmp_path / "broken")
    assert steps == [4, 5]
    for a, b in zip(whole.merger.parameters(), resumed.merger.parameters(), strict=True):
        assert torch.equal(a, b)
    assert path.read_bytes() == again.read_bytes()


@pytest.mark.slow
def test_resuming_remembers_the_best_value_and_the_patience(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    joint = {2: 1.0, 4: 3.0, 6: 2.0, 8: 2.0, 10: 2.0}
    scored: list[int] = []

    def run(folder: Path, stop: int) -> MergerTraining:
        module = make("constant", steps=10)
        original = module.data.training_batch
        monkeypatch.setattr(
            module.data, "training_batch", lambda step, *own: original(step, *own) if step != stop else 1 / 0
        )

        def scorer(merger: nn.Module) -> tuple[dict[str, float], Tensor]:
            scored.append(module.global_step)
            return {"joint": joint[module.global_step]}, torch.rand(3, 8, 8)

        module.scorer = scorer
        train_merger(
            module, folder=folder, monitor="validation/joint", mode="max", validate_every=2, patience=2, metadata={}
        )
        return module

    assert run(tmp_path / "whole", stop=-1).global_step == 8
    with pytest.raises(ZeroDivisionError):
        run(tmp_path / "broken", stop=5)
    assert run(tmp_path / "broken", stop=-1).global_step == 8
    assert scored == [2, 4, 6, 8, 2, 4, 6, 8]
    for folder in ("whole", "broken"):
        assert load_network(tmp_path / folder / "merger.safetensors").metadata["step"] == "4"


def test_a_checkpoint_holds_the_merger_alone(make: Make, tmp_path: Path) -> None:
    module = make("paper")
    train(module, tmp_path)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 6
    assert {name.split(".")[0] for name in checkpoint["state_dict"]} == {"merger"}
    size = sum(p.numel() * p.element_size() for p in module.merger.parameters())
    assert (tmp_path / "last.ckpt").stat().st_size < 3 * size + 50_000  # weights and AdamW's two moments


def test_the_file_holds_the_merger_that_was_best_on_validation(make: Make, tmp_path: Path) -> None:
    module = make("paper", steps=8)
    seen: dict[int, tuple[float, list[Tensor]]] = {}
    original = module.validation_step

    def validation_step(batch: int, batch_idx: int) -> None:
        loss = module.losses(module.data.validation_batch(batch))["loss"]
        seen[module.global_step] = (loss, [p.detach().clone() for p in module.merger.parameters()])
        original(batch, batch_idx)

    module.validation_step = validation_step  # type: ignore[method-assign]
    path = train(module, tmp_path)
    step, (loss, weights) = min(seen.items(), key=lambda item: item[1][0])
    assert sorted(seen) == [2, 4, 6, 8]
    facts = load_network(path).metadata
    assert (facts["method"], facts["step"]) == ("test", str(step))
    assert float(facts["validation/loss"]) == pytest.approx(loss, rel=1e-4)
    merger = load_network(path).module
    for a, b in zip(merger.parameters(), weights, strict=True):
        assert torch.equal(a, b)
    assert len(merger(module.data.training_batch(0)[0].loras).layers) == 56


def test_a_loss_that_is_not_a_number_stops_with_step_and_pairs(make: Make, tmp_path: Path) -> None:
    module = make("constant")
    original = module.data.training_batch

    def training_batch(step: int, *own: int) -> list[PairBatch]:
        if step == 3:
            with torch.no_grad():
                module.merger.values.fill_(torch.nan)
        return original(step, *own)

    module.data.training_batch = training_batch  # type: ignore[method-assign]
    names = [pair.name for pair in original(3)]
    with pytest.raises(DivergenceError, match=r"found \['nan'\] at step 3 for pairs \['train_content_0") as caught:
        train(module, tmp_path)
    assert str(list(dict.fromkeys(names))) in str(caught.value)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]["merger.values"].isfinite().all()


def test_training_stops_when_validation_no_longer_improves(make: Make, tmp_path: Path) -> None:
    module = make("constant", steps=50, learning_rate=0.0)
    path = train(module, tmp_path, patience=2, validate_every=1)
    assert module.global_step == 3
    assert load_network(path).metadata["step"] == "1"


def test_the_cosine_schedule_falls_to_zero(make: Make) -> None:
    module = make("constant", steps=10, schedule="cosine")
    assert [module.recipe.rate(step) for step in (0, 5, 10)] == pytest.approx([1e-2, 5e-3, 0])
    assert make("constant").recipe.rate(5) == 1e-2


def test_a_scorer_is_asked_at_each_validation(make: Make, tmp_path: Path) -> None:
    module = make("constant", steps=4)
    scored = []

    def scorer(merger: nn.Module) -> tuple[dict[str, float], Tensor]:
        scored.append(merger)
        return {"joint": float(len(scored))}, torch.rand(3, 8, 8)

    module.scorer = scorer
    path = train_merger(
        module,
        folder=tmp_path,
        monitor="validation/joint",
        mode="max",
        validate_every=2,
        patience=5,
        metadata={},
    )
    assert scored == [module.merger] * 2
    assert load_network(path).metadata | {"validation/joint": "2", "step": "4"} == load_network(path).metadata
    assert (tmp_path / "validation.png").is_file()


def test_the_last_step_is_validated_and_saved(make: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    module = make("constant", steps=3)
    path = train(module, tmp_path, validate_every=2)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 3
    values = validated(tmp_path)
    assert [step for step, _ in values] == [2, 3]
    best = min(values, key=lambda entry: entry[1])
    assert load_network(path).metadata["step"] == str(best[0])
    assert f"best validation/loss {best[1]:.4g} after step {best[0]} of 3; " in capfd.readouterr().err
    with Image.open(tmp_path / "curve.png") as curve:
        assert curve.width > curve.height > 100


def test_a_training_shorter_than_the_interval_has_a_result(make: Make, tmp_path: Path) -> None:
    path = train(make("constant", steps=1), tmp_path, validate_every=100)
    assert load_network(path).metadata["step"] == "1"
    assert [step for step, _ in validated(tmp_path)] == [1]


def validated(folder: Path) -> list[tuple[int, float]]:
    """Return step and value of each validation, as the last checkpoint holds them."""
    callbacks = torch.load(folder / "last.ckpt", weights_only=True)["callbacks"]
    return next(state["values"] for name, state in callbacks.items() if name.startswith("History"))


def test_a_training_without_a_finite_validation_says_so(make: Make, tmp_path: Path) -> None:
    module = make("constant", steps=1)
    module.scorer = lambda merger: ({"joint": math.nan}, torch.rand(3, 8, 8))
    with pytest.raises(DivergenceError, match="expected a finite validation/joint at some validation, found none"):
        train_merger(
            module, folder=tmp_path, monitor="validation/joint", mode="max", validate_every=2, patience=2, metadata={}
        )
