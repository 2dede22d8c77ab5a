"""The pairs that a merger is trained on: LoRAs, cached encodings, and a batch for each step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lorarar.datasets import Concept, Pair, Split, check_disjoint_splits
from lorarar.diffusion import Backbone, Conditioning, join_conditionings
from lorarar.formats import load
from lorarar.lora import LoRA, check_same_layers, input_weights, weight_loras
from lorarar.training.batches import Encoded, NoisyBatch, encode_concept, noisy_batch, sample_noise, step_generator


@dataclass(frozen=True)
class PairBatch:
    """One pair in one step: both LoRAs, a draw of each concept's images, the combined prompt and no prompt (1, ..).

    ``content`` and ``style`` are None where a concept has no images. ``synthetic`` is a draw of images that the base
    made from the pair's description, if there are any.
    """

    name: str
    loras: tuple[LoRA, LoRA]
    content: NoisyBatch | None
    style: NoisyBatch | None
    combined: Conditioning
    unconditional: Conditioning
    synthetic: NoisyBatch | None = None


class PairSampler:
    """What a step sees of any pair of some concepts: encodings are made once, draws are a function of their key.

    Only what a user of SDXL has goes in: the concepts' own images and captions, their LoRAs, the base.

    Args:
        concepts: of all pairs.
        loras: by concept name.
        imagined: latents (k, channels, h, w) of images that the base drew of a pair's description, by pair name; see
            `lorarar.diffusion.synthesis`.

    Raises:
        KeyError: a concept has no LoRA.
    """

    def __init__(
        self,
        backbone: Backbone,
        concepts: Iterable[Concept],
        loras: Mapping[str, LoRA],
        synthetic: Mapping[str, Tensor] | None = None,
    ) -> None:
        members = {concept.name: concept for concept in concepts}
        missing = sorted(members.keys() - loras.keys())
        if missing:
            raise KeyError(
                f"expected a LoRA for each concept, {len(missing)} lack one, first {missing[:3]}: run the zoo"
            )
        self.backbone, self.synthetic = backbone, synthetic or {}
        self.loras = {name: loras[name].to(backbone.device) for name in members}
        self.encoded = {name: encode_concept(backbone, c) for name, c in members.items() if c.images}
        self._combined: dict[str, Conditioning] = {}
        with torch.no_grad():
            self._unconditional = backbone.unconditional(backbone.encode_prompts([""]))

    def both(self, pair: Pair) -> tuple[LoRA, LoRA]:
        """The LoRAs of a pair, on the base's device."""
        return self.loras[pair.content.name], self.loras[pair.style.name]

    def batch(self, pair: Pair, images: int, key: tuple[object, ...]) -> PairBatch:
        """A draw of ``images`` of each concept: the same noise and timesteps for both, as in the paper."""
        random = step_generator(*key, pair.name)
        both = [self.encoded.get(concept.name) for concept in (pair.content, pair.style)]
        timesteps, noise = sample_noise(self.backbone, self._latents(pair), images, random)
        content, style = (one and noisy_batch(self.backbone, one, timesteps, noise, random) for one in both)
        return PairBatch(
            pair.name,
            self.both(pair),
            content,
            style,
            self._prompt(pair.prompt),
            self._unconditional,
            self._described(pair, timesteps, noise, random),
        )

    def _latents(self, pair: Pair) -> Tensor:
        """Latents of the pair, of the shape that its noise must have."""
        encoded = self.encoded.get(pair.content.name)
        return encoded.latents if encoded else self.synthetic[pair.name].to(self.backbone.device)

    def _described(self, pair: Pair, timesteps: Tensor, noise: Tensor, random: torch.Generator) -> NoisyBatch | None:
        if pair.name not in self.synthetic:
            return None
        latents = self.synthetic[pair.name].to(noise)
        words = self._prompt(pair.description)
        return noisy_batch(
            self.backbone, Encoded(latents, join_conditionings([words] * len(latents))), timesteps, noise, random
        )

    def _prompt(self, prompt: str) -> Conditioning:
        if prompt not in self._combined:
            with torch.no_grad():
                self._combined[prompt] = self.backbone.encode_prompts([prompt])
        return self._combined[prompt]


class PairData(lightning.LightningDataModule):
    """Training and validation pairs. A step's pairs, images, timesteps and noise are a function of (seed, step).

    Args:
        splits: must hold ``train`` and ``validation``, disjoint.
        loras: by concept name.
        pairs: pairs a step.
        images: images a step of each concept of a pair.
        imagined: as in `PairDraws`; where there are any, training is on these pairs alone.
        spread: how far training LoRAs' strengths vary: each is multiplied by exp(u), u uniform from -spread to spread.

    Raises:
        KeyError: a concept of a split has no LoRA.
        ValueError: the splits share a concept, or the LoRAs hold different layers.
    """

    def __init__(
        self,
        backbone: Backbone,
        concepts: Mapping[str, Concept],
        splits: Mapping[str, Split],
        loras: Mapping[str, LoRA],
        *,
        pairs: int,
        images: int,
        seed: int,
        synthetic: Mapping[str, Tensor] | None = None,
        weight_jitter: float = 0.0,
    ) -> None:
        super().__init__()
        check_disjoint_splits(splits)
        self.backbone, self.pairs, self.images, self.seed, self.weight_jitter = (
            backbone,
            pairs,
            images,
            seed,
            weight_jitter,
        )
        used = {split: splits[split].pairs(concepts) for split in ("train", "validation")}
        members = [c for pairs_ in used.values() for pair in pairs_ for c in (pair.content, pair.style)]
        self.train_pairs = [pair for pair in used["train"] if not synthetic or pair.name in synthetic]
        self.validation_pairs = used["validation"]
        self.sampler = PairSampler(backbone, members, loras, synthetic)
        self.loras, self.encoded = self.sampler.loras, self.sampler.encoded
        check_same_layers(list(self.loras.values()))

    def training_batch(self, step: int) -> list[PairBatch]:
        """The pairs of a training step, drawn with replacement."""
        random = step_generator(self.seed, "pairs", step)
        chosen = torch.randint(len(self.train_pairs), (self.pairs,), generator=random)
        drawn = [
            self.sampler.batch(self.train_pairs[int(i)], self.images, (self.seed, step, k))
            for k, i in enumerate(chosen)
        ]
        factors = ((torch.rand(self.pairs, 2, generator=random) * 2 - 1) * self.weight_jitter).exp().tolist()
        return (
            [_scaled(batch, both) for batch, both in zip(drawn, factors, strict=True)] if self.weight_jitter else drawn
        )

    def validation_batch(self, index: int) -> list[PairBatch]:
        """Validation pair ``index``, with draws that never change."""
        pair = self.validation_pairs[index]
        return [self.sampler.batch(pair, max(4, self.images), ("validation", pair.name))]

    def train_dataloader(self) -> DataLoader:
        """Counts only: ``training_batch`` draws by the step's number."""
        return DataLoader(range(1_000_000), batch_size=None)

    def val_dataloader(self) -> DataLoader:
        """The numbers of the validation pairs."""
        return DataLoader(range(len(self.validation_pairs)), batch_size=None)


def _scaled(batch: PairBatch, factors: Sequence[float]) -> PairBatch:
    """The pair with its LoRAs at other strengths."""
    content, style = weight_loras(batch.loras, input_weights(batch.loras, factors))
    return replace(batch, loras=(content, style))


def joint_concept(pair: Pair) -> Concept:
    """Both concepts of a pair as one, for the joint training of a single LoRA: a reference, not a merge.

    The concept with fewer images is repeated, so that a step draws as often from either; with equal numbers every image
    is seen equally often. `lorarar.training.zoo.train_zoo` trains it as any other concept, named by the pair.

    Reference:
        "Joint training" in ZipLoRA, arXiv 2311.13600.
    """
    sides = (pair.content, pair.style)
    count = max(len(side.images) for side in sides)
    images = tuple(path for side in sides for path in islice(cycle(side.images), count))
    captions = tuple(text for side in sides for text in islice(cycle(side.captions), count))
    return Concept(pair.name, "content", pair.prompt, images, captions)


def load_loras(folder: Path, names: Sequence[str]) -> dict[str, LoRA]:
    """The zoo's LoRAs ``folder/<name>.safetensors``, by concept name.

    Raises:
        FormatError: a file is missing or damaged.
    """
    return {name: load(folder / f"{name}.safetensors") for name in names}
