"""Train our network with features of what LoRAs do in the base, and without; one line of results.jsonl for each.

    python experiments/eyes/eyes.py [--plan] [--zoos wild embedded] [--seeds N]
    python experiments/eyes/eyes.py --table > experiments/eyes/table.md

Arms: "weights", the network as shipped; "eyes", with effects beside its features of the weights; "effects alone";
"shuffled", trained and read with the effects of the layers in another order; "none", neither. Each arm's objective is
measured on validation pairs twice: with the pair's features, and with those of another pair. Lines that are there are
kept.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lorarar.datasets import Concept, Pair
from lorarar.diffusion import Backbone, adapted, join_conditionings, starting_latents
from lorarar.evaluation.statistics import paired_interval
from lorarar.hypernetwork import LayerwiseConfig, LayerwiseHypernetwork
from lorarar.hypernetwork.features import DELTA_FEATURES, POSITION_FEATURES
from lorarar.lora import Coefficients, LoRA, merge_exactly
from lorarar.storage import load_config
from lorarar.training import PairBatch, fit
from lorarar.workflows import TrainConfig, merger_training

HERE, RUNS = Path(__file__).parent, Path("runs/eyes")
ARMS = ("weights", "eyes", "effects alone", "shuffled", "none")
EFFECTS, LARGEST, SMALL = 8, 8.0, 1e-6
WILD = [
    "loras=data/wild/loras",
    "splits=data/wild/concepts.yaml",
    "split=wild",
    "manifests=[data/embedded/concepts.yaml, data/wild/concepts.yaml]",
]


@dataclass(frozen=True, eq=False)
class Probe:
    """What LoRAs do in the base: four forward passes of a pair at the noisiest timestep, under the combined prompt.

    Attributes:
        backbone: The base.
        concepts: Concepts by the name of their LoRA's file.
    """

    backbone: Backbone
    concepts: Mapping[str, Concept]

    @torch.no_grad()
    def __call__(self, loras: Sequence[LoRA], layers: Sequence[str]) -> Tensor:
        """Return the effects of a content and a style, (2, layers, 8).

        With x the inputs of a layer in the base's pass, y = W x, y_i = dW_i x, and e, e_i, e_cs the predictions of the
        base, of one LoRA and of both: log |y_i| / |y|, log |y_i| / |y_j|, cos(y_i, y_j), cos(y_i, y), and for all
        layers log |e_i - e| / |e|, log |e_i - e| / |e_j - e|, cos(e_i - e, e_j - e) and
        log |e_cs - e_c - e_s + e| / |e_cs - e|.
        """
        content, style = (self.concepts[Path(lora.name).stem] for lora in loras)
        backbone = self.backbone
        prompt = backbone.encode_prompts([Pair(content, style).prompt])
        noisy = starting_latents(backbone, [0])
        timesteps = torch.full((1,), backbone.noise.steps - 1, device=backbone.device)
        found: dict[str, list[Tensor]] = {}
        with ExitStack() as stack:
            for layer in layers:
                module = backbone.denoiser.get_submodule(layer)
                deltas = [lora.layers[layer] for lora in loras]
                stack.callback(module.register_forward_hook(_Record(layer, deltas, found)).remove)
            base = backbone.predict(noisy, timesteps, prompt)
        ones = Coefficients({layer: (torch.ones(()),) * 2 for lora in loras for layer in lora.layers})
        with adapted(backbone.denoiser, [*loras, merge_exactly(loras, ones)]):
            alone = backbone.predict(noisy.repeat(3, 1, 1, 1), timesteps.repeat(3), join_conditionings([prompt] * 3))
        e_c, e_s, e_cs = (part - base for part in alone.split(1))
        clash = _log_ratio(e_cs - e_c - e_s, e_cs)
        rows = []
        for own, other in ((0, 1), (1, 0)):
            e_i, e_j = (e_c, e_s) if own == 0 else (e_s, e_c)
            shared = torch.stack([_log_ratio(e_i, base), _log_ratio(e_i, e_j), _cosine(e_i, e_j), clash])
            layerwise = torch.stack([_of_layer(found[layer], own, other) for layer in layers])
            rows.append(torch.cat([layerwise, shared.expand(len(layers), -1)], dim=1))
        return torch.stack(rows).float()


@dataclass(frozen=True, eq=False)
class _Record:
    layer: str
    deltas: Sequence[Any]
    found: dict[str, list[Tensor]]

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0].float()
        self.found[self.layer] = [F.linear(x, delta.delta().float()) for delta in self.deltas] + [output.float()]


def _of_layer(outputs: Sequence[Tensor], own: int, other: int) -> Tensor:
    y_i, y_j, y = outputs[own], outputs[other], outputs[2]
    return torch.stack([_log_ratio(y_i, y), _log_ratio(y_i, y_j), _cosine(y_i, y_j), _cosine(y_i, y)])


def _log_ratio(a: Tensor, b: Tensor) -> Tensor:
    return ((a.norm() + SMALL) / (b.norm() + SMALL)).log().clamp(-LARGEST, LARGEST)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return F.cosine_similarity(a.flatten(), b.flatten(), dim=0)


class EyedNetwork(LayerwiseHypernetwork):
    """Our network with effects among its inputs, or without them or the features of the weights."""

    def __init__(self, config: LayerwiseConfig, probe: Probe, arm: str) -> None:
        super().__init__(config)
        self.arm, self._probe = arm, [probe]  # in a list: the base is no part of the network
        self.shown: Sequence[LoRA] | None = None  # whose features are read, if not those of the pair
        inputs = POSITION_FEATURES + 1 + DELTA_FEATURES + EFFECTS
        self.token = nn.Sequential(nn.Linear(inputs, config.width), nn.SiLU())

    def features(self, loras: Sequence[LoRA], layers: Sequence[str]) -> Tensor:
        """Return the features of the arm; the others are zeros, so that all arms are of one size."""
        loras = self.shown or loras
        deltas = super().features(loras, layers)
        if self.arm in ("effects alone", "none"):
            deltas = torch.zeros_like(deltas)
        effects = deltas.new_zeros((*deltas.shape[:2], EFFECTS))
        if self.arm in ("eyes", "effects alone", "shuffled"):
            effects = self._probe[0](loras, layers)
        if self.arm == "shuffled":
            effects = effects[:, torch.randperm(len(layers))]
        return torch.cat([deltas, effects], dim=2)


def train(zoo: str, arm: str, seed: int) -> dict[str, Any]:
    """Train one arm; return its objective on validation pairs, with features of another pair too, and its scores."""
    changed = [
        *(WILD if zoo == "wild" else []),
        f"seed={seed}",
        f"runs={RUNS / f'{zoo}_{arm}_{seed}'}".replace(" ", "_"),
    ]
    config = load_config(TrainConfig, Path("configs/train/embedded.yaml"), [*changed, "wandb=disabled", "seeds=[0]"])
    module = merger_training(replace(config, validate_every=config.recipe.steps))
    concepts = {
        concept.name: concept
        for pair in [*module.data.train_pairs, *module.data.validation_pairs]
        for concept in (pair.content, pair.style)
    }
    torch.manual_seed(seed)
    network = EyedNetwork(LayerwiseConfig(**_tuples(config.options)), Probe(module.backbone, concepts), arm)
    module.merger = network
    scorer, module.scorer = module.scorer, None
    fit(
        module,
        steps=config.recipe.steps,
        folder=config.runs,
        accelerator="cpu",
        datamodule=module.data,
        checkpoint_every=100,
        val_check_interval=config.recipe.steps + 1,
        stage=f"{zoo}, {arm}, seed {seed}",
    )
    network.eval()
    chosen = _one_of_each(module.data.validation_pairs)
    pairs = [module.data.validation_pairs[index] for index in chosen]
    batches = [module.data.validation_batch(index) for index in chosen]
    with torch.no_grad():
        losses = [module.losses(batch)["loss"] for batch in batches]
        others = []
        for index, batch in enumerate(batches):
            network.shown = batches[_another(network, pairs, batches, index)][0].loras
            others.append(module.losses(batch)["loss"])
        network.shown = None
        assert scorer is not None
        scores, _ = scorer(network)
    names = [pair.name for pair in pairs]
    return {
        "losses": {name: round(loss, 6) for name, loss in zip(names, losses, strict=True)},
        "losses_shown_another": {name: round(loss, 6) for name, loss in zip(names, others, strict=True)},
        **{key: float(value) for key, value in scores.items()},
    }


def _one_of_each(pairs: Sequence[Pair]) -> list[int]:
    """Return the number of one pair for each content and style, whose concepts may have several LoRAs, in turn."""
    numbers: dict[tuple[str, str], list[int]] = {}
    for number, pair in enumerate(pairs):
        numbers.setdefault(_concepts(pair.name), []).append(number)
    return [each[turn % len(each)] for turn, each in enumerate(numbers.values())]


def _concepts(pair: str) -> tuple[str, str]:
    """Return the content and the style of a pair, without the letters that number a concept's LoRAs."""
    content, style = (name.removesuffix("_a").removesuffix("_b") for name in pair.split("+"))
    return content, style


def _another(network: EyedNetwork, pairs: Sequence[Pair], batches: Sequence[Sequence[PairBatch]], index: int) -> int:
    """Return the next pair of another content and another style whose LoRAs hold all layers that are predicted."""
    layers = set(network.predicted(batches[index][0].loras))
    for other in (*range(index + 1, len(pairs)), *range(index)):
        differs = pairs[other].content != pairs[index].content and pairs[other].style != pairs[index].style
        if differs and layers <= set(network.predicted(batches[other][0].loras)):
            return other
    raise ValueError(f"no other pair has the layers of {pairs[index].name}")


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


def table(rows: Sequence[Mapping[str, Any]], zoo: str) -> str:
    """Return a zoo's arms with their objectives, whose differences are in percent of the mean of "weights"."""
    ours: dict[str, list[Mapping[str, Any]]] = {arm: [] for arm in ARMS}
    for row in sorted((row for row in rows if row["zoo"] == zoo), key=lambda row: row["seed"]):
        ours[row["arm"]].append(row)
    own = {arm: _crossed([row["losses"] for row in ours[arm]]) for arm in ARMS}
    other = {arm: _crossed([row["losses_shown_another"] for row in ours[arm]]) for arm in ARMS}
    percent = 100 / own["weights"].mean()
    contents, styles, seeds = own["weights"].shape
    lines = [
        f"{zoo}: {contents} x {styles} validation concepts, {seeds} training seeds",
        "",
        '| arm | objective | minus "weights", % | minus "none", % | shown another pair, minus its own, % | joint |',
        "|---|---|---|---|---|---|",
    ]
    for arm in ARMS:
        cells = [
            _percent(own[arm], own["weights"], percent) if arm != "weights" else "",
            _percent(own[arm], own["none"], percent) if arm != "none" else "",
            _percent(other[arm], own[arm], percent) if arm != "none" else "",
        ]
        joint = ", ".join(f"{row['joint']:.3f}" for row in ours[arm])
        lines.append(f"| {arm} | {own[arm].mean():.5f} | {' | '.join(cells)} | {joint} |")
    return "\n".join(lines)


def _crossed(losses: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """Return the objective (contents, styles, training seeds)."""
    cells = {_concepts(name): [of_seed[name] for of_seed in losses] for name in losses[0]}
    contents, styles = (list(dict.fromkeys(pair[axis] for pair in cells)) for axis in (0, 1))
    return np.array([[cells[content, style] for style in styles] for content in contents])


def _percent(first: NDArray[np.float64], second: NDArray[np.float64], percent: float) -> str:
    found = paired_interval(first * percent, second * percent)
    return f"{found.mean:+.1f} [{found.low:+.1f}, {found.high:+.1f}]" + (" *" if found.excludes_zero() else "")


def main() -> None:
    """Train the arms whose lines are not there, or print the table of those that are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", action="store_true", help="print what is left")
    parser.add_argument("--table", action="store_true", help="print the tables of the zoos")
    parser.add_argument("--zoos", nargs="+", choices=("wild", "embedded"), default=["wild", "embedded"])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    output = HERE / "results.jsonl"
    rows = [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []
    if options.table:
        print("\n\n".join(table(rows, zoo) for zoo in options.zoos))
        return
    done = {(row["zoo"], row["arm"], row["seed"]) for row in rows}
    left = [(z, a, s) for z in options.zoos for s in range(options.seeds) for a in ARMS if (z, a, s) not in done]
    print(f"{len(left)} trainings left, about {len(left) * 6} minutes on one idle core", flush=True)
    torch.set_num_threads(1)
    for zoo, arm, seed in [] if options.plan else left:
        row = {"zoo": zoo, "arm": arm, "seed": seed} | train(zoo, arm, seed)
        with output.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print({key: value for key, value in row.items() if key != "losses"}, flush=True)


if __name__ == "__main__":
    main()
