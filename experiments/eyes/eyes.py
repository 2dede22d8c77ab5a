"""Train our network with features of what LoRAs do in the base, and without; one line of results.jsonl for each.

    python experiments/eyes/eyes.py [--plan] [--zoos wild embedded] [--seeds N]

Arms: "weights", the network as shipped; "eyes", with effects beside its features of the weights; "effects alone";
"shuffled", trained and read with the effects of the layers in another order; "none", neither. Lines that are there are
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

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lorarar.datasets import Concept, Pair
from lorarar.diffusion import Backbone, adapted, join_conditionings, starting_latents
from lorarar.hypernetwork import LayerwiseConfig, LayerwiseHypernetwork
from lorarar.hypernetwork.features import DELTA_FEATURES, POSITION_FEATURES
from lorarar.lora import Coefficients, LoRA, merge_exactly
from lorarar.storage import load_config
from lorarar.training import fit
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
        inputs = POSITION_FEATURES + 1 + DELTA_FEATURES + EFFECTS
        self.token = nn.Sequential(nn.Linear(inputs, config.width), nn.SiLU())

    def features(self, loras: Sequence[LoRA], layers: Sequence[str]) -> Tensor:
        """Return the features of the arm; the others are zeros, so that all arms are of one size."""
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
    """Train one arm and return its validation, with the effects of another pair too."""
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
    module.merger = EyedNetwork(LayerwiseConfig(**_tuples(config.options)), Probe(module.backbone, concepts), arm)
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
    module.merger.eval()
    with torch.no_grad():
        pairs = [module.data.validation_batch(i) for i in range(len(module.data.validation_pairs))]
        losses = [module.losses(pair)["loss"] for pair in pairs]
        assert scorer is not None
        scores, _ = scorer(module.merger)
    return {"losses": [round(loss, 6) for loss in losses], **{k: float(v) for k, v in scores.items()}}


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


def main() -> None:
    """Train the arms whose lines are not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", action="store_true", help="print what is left")
    parser.add_argument("--zoos", nargs="+", choices=("wild", "embedded"), default=["wild", "embedded"])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    output = HERE / "results.jsonl"
    rows = [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []
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
