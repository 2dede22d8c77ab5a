"""Pairs that a merger is trained on: their LoRAs, cached encodings, and a batch for each step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lorarar.datasets import Concept, Pair, Split, balanced_concept, check_disjoint_splits
from lorarar.diffusion import Backbone, Conditioning, join_conditionings
from lorarar.formats import BaseWeights, load
from lorarar.lora import Coefficients, LoRA, check_same_shapes, input_weights, weight_loras
from lorarar.training.batches import (
    EncodedConcept,
    NoisyBatch,
    encode_concept,
    noisy_batch,
    sample_noise,
    step_generator,
)
from lorarar.training.trainer import StepNumbers

# A hypernetwork, a constant, or any other function that predicts the coefficients of LoRAs.
Predictor = Callable[[Sequence[LoRA]], Coefficients]

_TRAINING_STEPS = 1_000_000  # more than any run has
_VALIDATION_IMAGES = 4  # of each concept, at least


@dataclass(frozen=True)
class PairBatch:
    """One pair in one step.

    Attributes:
        name: Name of the pair.
        loras: The content LoRA and the style LoRA.
        content: A batch of the content's images; None where it has no images.
        style: A batch of the style's images; None where it has no images.
        combined: The encoded combined prompt (1, ..).
        unconditional: The encoding without a prompt (1, ..).
        synthetic: A batch of the pair's synthetic images under its description; None where there are none.
    """

    name: str
    loras: tuple[LoRA, LoRA]
    content: NoisyBatch | None
    style: NoisyBatch | None
    combined: Conditioning
    unconditional: Conditioning
    synthetic: NoisyBatch | None = None


class PairSampler:
    """Source of batches of any pair of some concepts: encodings are cached, batches are a function of their key.

    Its inputs are what a user of SDXL has: the concepts' own images and captions, their LoRAs, the base.

    Args:
        backbone: The base.
        concepts: Concepts of all pairs.
        loras: LoRAs by the concept's name.
        synthetic: Latents (k, channels, h, w) of synthetic images by the pair's name, see
            `lorarar.diffusion.synthesise_pairs`.
        latents: Folder of encoded images, see `lorarar.training.batches.encode_concept`.

    Raises:
        KeyError: A concept has no LoRA.
    """

    def __init__(
        self,
        backbone: Backbone,
        concepts: Iterable[Concept],
        loras: Mapping[str, LoRA],
        synthetic: Mapping[str, Tensor] | None = None,
        latents: Path | None = None,
    ) -> None:
        members = {concept.name: concept for concept in concepts}
        missing = sorted(members.keys() - loras.keys())
        if missing:
            raise KeyError(
                f"expected a LoRA for each concept, found none for {len(missing)}, first {missing[:3]}: run the zoo"
            )
        self.backbone, self.synthetic = backbone, synthetic or {}
        self.loras = {name: loras[name] for name in members}
        self.encoded = {name: encode_concept(backbone, c, latents) for name, c in members.items() if c.images}
        self._prompts: dict[str, Conditioning] = {}
        with torch.no_grad():
            self._unconditional = backbone.unconditional(backbone.encode_prompts([""]))

    def loras_of(self, pair: Pair) -> tuple[LoRA, LoRA]:
        """Return the LoRAs of a pair, on the base's device: those of all pairs would fill a GPU."""
        device = self.backbone.device
        return self.loras[pair.content.name].to(device), self.loras[pair.style.name].to(device)

    def batch(self, pair: Pair, images: int, key: tuple[object, ...]) -> PairBatch:
        """Return a batch of a pair; both concepts get the same noise and timesteps, as in the paper.

        Args:
            pair: The pair.
            images: Images of each concept.
            key: Seed and step; the batch is a function of the key and the pair's name.
        """
        random = step_generator(*key, pair.name)
        timesteps, noise = sample_noise(self.backbone, self._latents(pair), images, random)

        def noisy(encoded: EncodedConcept | None) -> NoisyBatch | None:
            return noisy_batch(self.backbone, encoded, timesteps, noise, random) if encoded else None

        return PairBatch(  # the fields' order is that of the random numbers
            pair.name,
            self.loras_of(pair),
            noisy(self.encoded.get(pair.content.name)),
            noisy(self.encoded.get(pair.style.name)),
            self._encode(pair.prompt),
            self._unconditional,
            noisy(self._encoded_synthetic(pair)),
        )

    def _latents(self, pair: Pair) -> Tensor:
        """Return latents of the pair, whose shape the noise takes."""
        encoded = self.encoded.get(pair.content.name)
        return encoded.latents if encoded else self.synthetic[pair.name].to(self.backbone.device)

    def _encoded_synthetic(self, pair: Pair) -> EncodedConcept | None:
        """Return the pair's synthetic images under its description."""
        if pair.name not in self.synthetic:
            return None
        latents = self.synthetic[pair.name].to(self._latents(pair))
        return EncodedConcept(latents, join_conditionings([self._encode(pair.description)] * len(latents)))

    def _encode(self, prompt: str) -> Conditioning:
        """Return the encoded prompt (1, ..), encoded once."""
        if prompt not in self._prompts:
            with torch.no_grad():
                self._prompts[prompt] = self.backbone.encode_prompts([prompt])
        return self._prompts[prompt]


class PairData(lightning.LightningDataModule):
    """Training and validation pairs. A step's pairs, images, timesteps and noise are a function of (seed, step).

    Args:
        backbone: The base.
        concepts: Concepts by name.
        splits: Splits by name; "train" and "validation" are used and must be disjoint.
        loras: LoRAs by the concept's name.
        pairs: Pairs in a step.
        images: Images of each concept of a pair in a step.
        seed: Seed of the training batches; validation batches do not depend on it.
        synthetic: As in `PairSampler`; where it is given, training is on these pairs alone.
        weight_jitter: How far the training LoRAs' weights vary: each is multiplied by exp(u), u uniform from
            -weight_jitter to weight_jitter.
        latents: As in `PairSampler`.

    Raises:
        KeyError: A concept of a split has no LoRA.
        ValueError: The splits share a concept, or a layer has several shapes.
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
        latents: Path | None = None,
    ) -> None:
        super().__init__()
        check_disjoint_splits(splits)
        self.backbone, self.pairs, self.images, self.seed = backbone, pairs, images, seed
        self.weight_jitter = weight_jitter
        train_pairs, self.validation_pairs = (splits[split].pairs(concepts) for split in ("train", "validation"))
        self.train_pairs = [pair for pair in train_pairs if not synthetic or pair.name in synthetic]
        members = [member for pair in [*train_pairs, *self.validation_pairs] for member in (pair.content, pair.style)]
        self.sampler = PairSampler(backbone, members, loras, synthetic, latents)
        self.loras, self.encoded = self.sampler.loras, self.sampler.encoded
        check_same_shapes(list(self.loras.values()))

    def training_batch(self, step: int, process: int = 0, processes: int = 1) -> list[PairBatch]:
        """Return the pairs of a training step, chosen with replacement.

        Args:
            step: Number of the step.
            process: Number of this process.
            processes: Processes of the run; the pairs of all are those of one process with as many times the pairs.
        """
        random = step_generator(self.seed, "pairs", step)
        count, own = self.pairs * processes, range(process * self.pairs, (process + 1) * self.pairs)
        chosen = torch.randint(len(self.train_pairs), (count,), generator=random)
        batches = [self.sampler.batch(self.train_pairs[int(chosen[k])], self.images, (self.seed, step, k)) for k in own]
        if not self.weight_jitter:
            return batches
        factors = ((torch.rand(count, 2, generator=random) * 2 - 1) * self.weight_jitter).exp().tolist()
        return [_reweight(batch, factors[k]) for batch, k in zip(batches, own, strict=True)]

    def validation_batch(self, index: int) -> list[PairBatch]:
        """Return validation pair `index`, with a batch that is the same in every run."""
        pair = self.validation_pairs[index]
        return [self.sampler.batch(pair, max(_VALIDATION_IMAGES, self.images), ("validation", pair.name))]

    def train_dataloader(self) -> DataLoader[int]:
        """Return a counter; `training_batch` computes the batch from the step's number."""
        return DataLoader(StepNumbers(_TRAINING_STEPS), batch_size=None)

    def val_dataloader(self) -> DataLoader[int]:
        """Return the numbers of the validation pairs."""
        return DataLoader(StepNumbers(len(self.validation_pairs)), batch_size=None)


def _reweight(batch: PairBatch, weights: Sequence[float]) -> PairBatch:
    """Return the pair with its LoRAs at other weights."""
    content, style = weight_loras(batch.loras, input_weights(batch.loras, weights))
    return replace(batch, loras=(content, style))


def joint_concept(pair: Pair) -> Concept:
    """Return both concepts of a pair as one, for the joint training of a single LoRA: a reference, not a merge.

    `train_zoo` trains it like any other concept, named by the pair.

    Reference:
        "Joint training" in ZipLoRA, arXiv 2311.13600.
    """
    return replace(balanced_concept(pair.name, (pair.content, pair.style)), phrase=pair.prompt)


def load_loras(folder: Path, names: Sequence[str], base: str | Path | None = None) -> dict[str, LoRA]:
    """Load the zoo's LoRAs `folder/<name>.safetensors`, by the concept's name.

    Args:
        folder: Folder of the LoRAs.
        names: Names of the concepts.
        base: Folder of the base model, for algorithms whose deltas depend on its weights (DoRA, IA3, OFT, GLoRA); a hub
            id or None serves the others alone.

    Raises:
        FormatError: A file is missing or damaged, or needs the weights of the base.
    """
    weights = BaseWeights(base) if base and Path(base).exists() else None
    return {name: load(folder / f"{name}.safetensors", weights) for name in names}
