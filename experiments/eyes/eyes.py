"""Train our network with features of what LoRAs do in the base, and without; one line of results.jsonl for each.

    python experiments/eyes/eyes.py [--plan] [--zoos wild embedded] [--seeds N]
    python experiments/eyes/eyes.py --table > experiments/eyes/table.md

Arms: "weights", the network as shipped; "eyes", with effects beside its features of the weights; "effects alone";
"shuffled", trained and read with the effects of the layers in another order; "none", neither. Two more, in the wild,
have eyes and predict more than one coefficient for a layer of a LoRA: "by direction", for the first, the second, the
third and fourth, and the other singular directions, whose effects it sees too; "two sets", for the noisier half of the
timesteps and for the other. Each arm's objective is measured on validation pairs twice: with the pair's features, and
with those of another pair. Lines that are there are kept.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
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
from lorarar.hypernetwork.layerwise import InputKind
from lorarar.lora import Coefficients, LoRA, LowRank, factorise, from_svd, merge_exactly, thin_svd
from lorarar.storage import load_config, write_json
from lorarar.training import MergerTraining, PairBatch, fit
from lorarar.workflows import TrainConfig, merger_training
from lorarar.worlds.stages import PairScorer

HERE, RUNS = Path(__file__).parent, Path("runs/eyes")
ARMS = ("weights", "eyes", "effects alone", "shuffled", "none")
SEVERAL = ("by direction", "two sets")
RIVALS = ("weights", "eyes", "none")
EFFECTS, LARGEST, SMALL = 8, 8.0, 1e-6
GROUPS = ((0, 1), (1, 2), (2, 4), (4, None))  # of singular directions, the first ones first
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
        directions: Whether the effects of the groups of singular directions are added.
    """

    backbone: Backbone
    concepts: Mapping[str, Concept]
    directions: bool = False

    @torch.no_grad()
    def __call__(self, loras: Sequence[LoRA], layers: Sequence[str]) -> Tensor:
        """Return the effects of a content and a style, (2, layers, 8), with directions (2, layers, 20).

        With x the inputs of a layer in the base's pass, y = W x, y_i = dW_i x, and e, e_i, e_cs the predictions of the
        base, of one LoRA and of both: log |y_i| / |y|, log |y_i| / |y_j|, cos(y_i, y_j), cos(y_i, y), and for all
        layers log |e_i - e| / |e|, log |e_i - e| / |e_j - e|, cos(e_i - e, e_j - e) and
        log |e_cs - e_c - e_s + e| / |e_cs - e|. With directions, for each group g, whose output is y_ig:
        log |y_ig| / |y_i|, log |y_ig| / |y| and cos(y_ig, y_j).
        """
        content, style = (self.concepts[Path(lora.name).stem] for lora in loras)
        backbone = self.backbone
        prompt = backbone.encode_prompts([Pair(content, style).prompt])
        noisy = starting_latents(backbone, [0])
        timesteps = torch.full((1,), backbone.noise.steps - 1, device=backbone.device)
        found: dict[str, tuple[Tensor, list[Tensor]]] = {}
        with ExitStack() as stack:
            for layer in layers:
                module = backbone.denoiser.get_submodule(layer)
                deltas = [lora.layers[layer] for lora in loras]
                if self.directions:
                    deltas += [part for delta in deltas for part in _groups(factorise(delta))]
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
            layerwise = torch.stack([_of_layer(*found[layer], own, other) for layer in layers])
            rows.append(torch.cat([layerwise, shared.expand(len(layers), -1)], dim=1))
        return torch.stack(rows).float()


@dataclass(frozen=True, eq=False)
class _Record:
    layer: str
    deltas: Sequence[Any]
    found: dict[str, tuple[Tensor, list[Tensor]]]

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0].float()
        self.found[self.layer] = output.float(), [F.linear(x, delta.delta().float()) for delta in self.deltas]


def _groups(delta: LowRank) -> list[LowRank]:
    """Return the parts of a delta that has the factors of its SVD."""
    return [LowRank(delta.B[:, a:b], delta.A[a:b], delta.scale) for a, b in GROUPS]


def _of_layer(y: Tensor, outputs: Sequence[Tensor], own: int, other: int) -> Tensor:
    y_i, y_j = outputs[own], outputs[other]
    found = [_log_ratio(y_i, y), _log_ratio(y_i, y_j), _cosine(y_i, y_j), _cosine(y_i, y)]
    start = 2 + own * len(GROUPS)
    for part in outputs[start : start + len(GROUPS)]:
        found += [_log_ratio(part, y_i), _log_ratio(part, y), _cosine(part, y_j)]
    return torch.stack(found)


def _log_ratio(a: Tensor, b: Tensor) -> Tensor:
    return ((a.norm() + SMALL) / (b.norm() + SMALL)).log().clamp(-LARGEST, LARGEST)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    return F.cosine_similarity(a.flatten(), b.flatten(), dim=0)


class EyedNetwork(LayerwiseHypernetwork):
    """Our network with effects among its inputs, or without them or the features of the weights.

    Of a LoRA whose metadata has "half", 0 or 1, the coefficients of this half of the timesteps are predicted.
    """

    def __init__(self, config: LayerwiseConfig, probe: Probe, arm: str) -> None:
        super().__init__(config)
        self.arm, self._probe = arm, [probe]  # in a list: the base is no part of the network
        self.shown: Sequence[LoRA] | None = None  # whose features are read, if not those of the pair
        self._chosen, self._known = 0, torch.empty(0)
        inputs = POSITION_FEATURES + 1 + DELTA_FEATURES + EFFECTS + 3 * len(GROUPS) * (arm == "by direction")
        self.token = nn.Sequential(nn.Linear(inputs, config.width), nn.SiLU())
        self.sets = {"by direction": len(GROUPS), "two sets": 2}.get(arm, 1)
        if self.sets > 1:  # the others stay as they were drawn
            last = nn.Linear(config.width, 2 * self.sets)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.mixed[-1] = last

    def forward(self, loras: Sequence[LoRA], kinds: Sequence[InputKind] | None = None) -> Coefficients:
        """Predict one coefficient for each layer and LoRA, or one for each singular direction, (rank, 1)."""
        if self.arm != "by direction":
            self._chosen = int(loras[0].metadata.get("half", 0))
            return super().forward(loras, kinds)
        self._known = self._features(loras, self.predicted(loras))
        groups = []
        for chosen in range(self.sets):
            self._chosen = chosen
            groups.append(super().forward(loras, kinds).layers)
        merged: dict[str, tuple[Tensor, ...]] = dict(groups[0])
        for layer in self.predicted(loras):
            of_group = [group[layer] for group in groups]
            ranks = [factorise(lora.layers[layer]).rank for lora in loras]
            merged[layer] = tuple(_by_rank([of[i][0] for of in of_group], rank) for i, rank in enumerate(ranks))
        return Coefficients(merged)

    def _coefficients(self, kind: InputKind, positions: Tensor, deltas: Tensor) -> Tensor:
        """Return one LoRA's coefficients of the chosen set, (layers,)."""
        place = torch.cat([positions, positions.new_full((len(positions), 1), 1.0 if kind == "content" else -1.0)], 1)
        tokens = self.token(torch.cat([place, deltas], dim=1))
        mean = tokens.mean(0, keepdim=True).expand_as(tokens)
        gain, shift = self.mixed(torch.cat([tokens, mean], dim=1)).unflatten(1, (2, -1))[:, :, self._chosen].unbind(1)
        constant = self.config.initial[kind != "content"] + self.constant(place).squeeze(1)
        coefficients: Tensor = gain.exp() * (constant + shift)
        return coefficients

    def features(self, loras: Sequence[LoRA], layers: Sequence[str]) -> Tensor:
        """Return the features of the arm; the others are zeros, so that all arms are of one size."""
        return self._known if self.arm == "by direction" else self._features(loras, layers)

    def _features(self, loras: Sequence[LoRA], layers: Sequence[str]) -> Tensor:
        loras = self.shown or loras
        deltas = super().features(loras, layers)
        if self.arm in ("effects alone", "none"):
            deltas = torch.zeros_like(deltas)
        effects = deltas.new_zeros((*deltas.shape[:2], EFFECTS))
        if self.arm not in ("weights", "none"):
            effects = self._probe[0](loras, layers)
        if self.arm == "shuffled":
            effects = effects[:, torch.randperm(len(layers))]
        return torch.cat([deltas, effects], dim=2)


def _by_rank(numbers: Sequence[Tensor], rank: int) -> Tensor:
    """Return the coefficients (rank, 1) of directions from one number for each group."""
    parts = [m.expand(len(range(rank)[a:b])) for m, (a, b) in zip(numbers, GROUPS, strict=True)]
    return torch.cat(parts)[:, None]


def _in_singular_directions(lora: LoRA, layers: Iterable[str]) -> LoRA:
    """Return the LoRA with the factors of the SVD in these layers, the same deltas."""
    svd = {layer: from_svd(*thin_svd(factorise(lora.layers[layer]))) for layer in layers}
    return replace(lora, layers={**lora.layers, **svd})


class HalvedTraining(MergerTraining):
    """Training of a network that predicts a set of coefficients for each half of the timesteps, the noisier one 0."""

    def losses(self, pairs: Sequence[PairBatch], *, backward: bool = False, share: float = 1.0) -> dict[str, float]:
        """Return the same terms, from each synthetic image by itself."""
        halved = [image for pair in pairs for image in self._images(pair)]
        return super().losses(halved, backward=backward, share=share)

    def _images(self, pair: PairBatch) -> list[PairBatch]:
        assert pair.synthetic is not None
        images = []
        for at, timestep in enumerate(pair.synthetic.timesteps.tolist()):
            half = {"half": str(int(timestep < self.backbone.noise.steps / 2))}
            content, style = (replace(lora, metadata={**lora.metadata, **half}) for lora in pair.loras)
            images.append(replace(pair, loras=(content, style), synthetic=pair.synthetic[torch.tensor([at])]))
        return images


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
    probe = Probe(module.backbone, concepts, directions=arm == "by direction")
    network = EyedNetwork(LayerwiseConfig(**_tuples(config.options)), probe, arm)
    scorer, training = module.scorer, HalvedTraining if arm == "two sets" else MergerTraining
    module = training(network, module.backbone, module.data, module.recipe, module.weights)
    if arm == "by direction":
        for name, lora in module.data.loras.items():
            module.data.loras[name] = _in_singular_directions(lora, network.predicted([lora]))
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
        assert isinstance(scorer, PairScorer)
        # Two sets would have to change places while an image is drawn.
        scores = {} if arm == "two sets" else replace(scorer, loras=module.data.loras)(network)[0]
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


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the objectives of a zoo's arms and their differences, in percent of the mean of "weights"."""
    ours: dict[str, list[Mapping[str, Any]]] = {arm: [] for arm in (*ARMS, *SEVERAL)}
    for row in sorted(rows, key=lambda row: row["seed"]):
        ours[row["arm"]].append(row)
    arms = [arm for arm in ours if ours[arm]]
    own = {arm: _crossed([row["losses"] for row in ours[arm]]) for arm in arms}
    other = {arm: _crossed([row["losses_shown_another"] for row in ours[arm]]) for arm in arms}
    percent = 100 / own["weights"].mean()
    found: dict[str, Any] = {"contents, styles, seeds": own["weights"].shape}
    for arm in arms:
        minus = {rival: _percent(own[arm], own[rival], percent) for rival in RIVALS if rival != arm}
        found[arm] = {
            "objective": round(float(own[arm].mean()), 5),
            **{f"minus {rival}": difference for rival, difference in minus.items()},
            **({} if arm == "none" else {"another pair shown": _percent(other[arm], own[arm], percent)}),
            "joint": [round(row["joint"], 6) for row in ours[arm] if "joint" in row],
        }
    return found


def table(zoo: str, found: Mapping[str, Any]) -> str:
    """Return the arms of a zoo as a table."""
    contents, styles, seeds = found["contents, styles, seeds"]
    columns = [*(f"minus {rival}" for rival in RIVALS), "another pair shown"]
    lines = [
        f"{zoo}: {contents} x {styles} validation concepts, {seeds} training seeds",
        "",
        f"| arm | objective | {' | '.join(f'{column}, %' for column in columns)} | joint |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for arm, each in found.items():
        if isinstance(each, dict):
            cells = [_cell(each.get(column)) for column in columns]
            joint = ", ".join(f"{value:.3f}" for value in each["joint"])
            lines.append(f"| {arm} | {each['objective']:.5f} | {' | '.join(cells)} | {joint} |")
    return "\n".join(lines)


def _cell(found: Mapping[str, float] | None) -> str:
    if found is None:
        return ""
    star = " *" if found["low"] > 0 or found["high"] < 0 else ""
    return f"{found['mean']:+.1f} [{found['low']:+.1f}, {found['high']:+.1f}]{star}"


def _crossed(losses: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """Return the objective (contents, styles, training seeds)."""
    cells = {_concepts(name): [of_seed[name] for of_seed in losses] for name in losses[0]}
    contents, styles = (list(dict.fromkeys(pair[axis] for pair in cells)) for axis in (0, 1))
    return np.array([[cells[content, style] for style in styles] for content in contents])


def _percent(first: NDArray[np.float64], second: NDArray[np.float64], percent: float) -> dict[str, float]:
    found = paired_interval(first * percent, second * percent)
    return {name: round(value, 4) for name, value in (("mean", found.mean), ("low", found.low), ("high", found.high))}


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
        found = {zoo: summarise([row for row in rows if row["zoo"] == zoo]) for zoo in options.zoos}
        write_json(HERE / "summary.json", found, indent=1)
        print("\n\n".join(table(zoo, each) for zoo, each in found.items()))
        return
    done = {(row["zoo"], row["arm"], row["seed"]) for row in rows}
    arms = {"wild": (*ARMS, *SEVERAL), "embedded": ARMS}
    left = [(z, a, s) for z in options.zoos for s in range(options.seeds) for a in arms[z] if (z, a, s) not in done]
    print(f"{len(left)} trainings left, about {len(left) * 5} minutes on one idle core", flush=True)
    torch.set_num_threads(1)
    for zoo, arm, seed in [] if options.plan else left:
        row = {"zoo": zoo, "arm": arm, "seed": seed} | train(zoo, arm, seed)
        with output.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print({key: value for key, value in row.items() if key != "losses"}, flush=True)


if __name__ == "__main__":
    main()
