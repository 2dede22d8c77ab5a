"""Train and measure the configurations of the LyCORIS experiment; one line of results.jsonl for each checkpoint.

    python experiments/lycoris/measure.py --plan
    python experiments/lycoris/measure.py [--only NAME ..] [--seeds N] [--output FILE]

A configuration and seed is one training: the LoRAs of all classes in one batch. Lines in the file are kept, and an
interrupted training resumes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from configurations import CHECKPOINTS, CONTENTS, IMAGES, PROMPTS, SEEDS, STYLES, Configuration, configurations
from PIL import Image

from lorarar.datasets import TYPES, Concept, load_concepts, load_prompt_set, seed_of, to_bytes
from lorarar.diffusion import load_backbone
from lorarar.evaluation.metrics import cosine_fidelity, gram_vectors, vendi
from lorarar.evaluation.metrics.encoders import MapEncoder, load_encoder
from lorarar.lora import LoRA
from lorarar.storage import EMBEDDED, checked, digest, plain
from lorarar.training import ZooTraining, fit
from lorarar.worlds.stages import generate_and_score, load_classifier
from lorarar.worlds.toy import STYLE_TOKEN, Style, Subject, apply_prompt, render, style_of, subject_of, toy_world, truth

HERE, RUNS = Path(__file__).parent, Path("runs/lycoris")
NEUTRAL = Subject(0, 0, 0, 0), Style(0, 0, 0, 0)  # stand for what a prompt does not name
STEP_SECONDS, IMAGE_SECONDS = 0.25, 0.08  # of a training step and of an image, on one thread of a 2026 CPU


@dataclass(frozen=True)
class PlannedImages:
    """The images of a class and a type of prompt: prompts, each with a truth and several noise seeds.

    Attributes:
        measured: Kind of the score that says whether the images show what their prompts ask for.
    """

    concept: Concept
    type: str
    prompts: tuple[str, ...]
    truths: tuple[tuple[int, ...], ...]
    measured: str


def load_classes() -> dict[str, Concept]:
    """Return the contents, four images each, and the styles with four rendered images and full captions."""
    contents = load_concepts([EMBEDDED / "concepts.yaml"], EMBEDDED / "images", CONTENTS)
    chosen = {name: replace(c, images=c.images[:4], captions=c.captions[:4]) for name, c in contents.items()}
    return chosen | {name: _style(name) for name in STYLES}


def _style(name: str) -> Concept:
    base, look = toy_world().subjects["base"], style_of(name)
    random, folder = np.random.default_rng(seed_of("lycoris", name)), RUNS / "references" / name
    folder.mkdir(parents=True, exist_ok=True)
    images, captions = [], []
    for number, index in enumerate(random.choice(len(base), 4, replace=False)):
        images.append(folder / f"{number}.png")
        Image.fromarray(render(base[index], look, int(random.integers(2**31)))).save(images[-1])
        captions.append(f"a {base[index].words()} in {STYLE_TOKEN} style")
    return Concept(name, "style", f"{STYLE_TOKEN} style", tuple(images), tuple(captions))


def plan_images(concepts: Mapping[str, Concept]) -> Iterator[PlannedImages]:
    """Yield the images of every class and type of prompt; the templates of a type take turns."""
    for concept in concepts.values():
        words = {"phrase": [concept.phrase]}
        words |= {"token": ["sks"]} if concept.kind == "content" else {"caption": [concept.captions[0]]}
        filled = load_prompt_set(Path(f"data/prompts/toyworld_{concept.kind}.yaml")).fill(words)
        subject = subject_of(concept.name) if concept.kind == "content" else NEUTRAL[0]
        style = style_of(concept.name) if concept.kind == "style" else NEUTRAL[1]
        for kind in TYPES:
            texts = [prompt.text for prompt in filled if prompt.type == kind]
            prompts = tuple(texts[i % len(texts)] for i in range(PROMPTS))
            truths = tuple(truth(*apply_prompt(subject, style, prompt)) for prompt in prompts)
            measured = {"alter": "content", "style": "style"}.get(kind, concept.kind)
            yield PlannedImages(concept, kind, prompts, truths, measured)


class Instruments:
    """The base, the encoder and the classifier, and what they make of references and of the base's own images."""

    def __init__(self) -> None:
        self.concepts = load_classes()
        self.backbone = load_backbone(checked(EMBEDDED / "base"), device="cpu")
        self.classifier = load_classifier(checked(EMBEDDED / "classifier.safetensors"))
        self.encoder = load_encoder("tower")
        self.plan = list(plan_images(self.concepts))
        opened = {name: [Image.open(p).convert("RGB") for p in c.images] for name, c in self.concepts.items()}
        self.references = {name: self.encoder.encode_images(images) for name, images in opened.items()}
        self.reference_grams = {name: self._grams(images) for name, images in opened.items()}
        self.base_grams = [self._grams(self._images(planned, None)[0]) for planned in self.plan]

    def measure(self, loras: Mapping[str, LoRA]) -> dict[str, dict[str, dict[str, float]]]:
        """Return class -> type of prompt -> criterion -> value, each better if it is higher."""
        values: dict[str, dict[str, dict[str, float]]] = {}
        for planned, base in zip(self.plan, self.base_grams, strict=True):
            name = planned.concept.name
            images, scores = self._images(planned, loras[name])
            rows, grams = self.encoder.encode_images(images), self._grams(images)
            criteria = {
                "fidelity": cosine_fidelity(rows, self.references[name]),
                "controllability": float(scores[planned.measured].mean()),
                "diversity": float(np.mean([vendi(part) for part in np.split(rows, PROMPTS)])),
                "base preservation": -float(np.square(grams - base).sum(1).mean()),
            }
            if planned.concept.kind == "style":
                apart = grams[:, None] - self.reference_grams[name][None]
                criteria["style fidelity"] = -float(np.square(apart).sum(2).mean())
            values.setdefault(name, {})[planned.type] = {key: round(value, 6) for key, value in criteria.items()}
        return values

    def _images(
        self, planned: PlannedImages, lora: LoRA | None
    ) -> tuple[list[Image.Image], Mapping[str, torch.Tensor]]:
        """Return the images, those of a prompt together, and their scores (prompts, noise seeds)."""
        prompts, truths = planned.prompts, planned.truths
        scored = generate_and_score(
            self.backbone, self.classifier, [lora] * PROMPTS, prompts, truths, range(IMAGES // PROMPTS)
        )
        return [Image.fromarray(to_bytes(image)) for image in scored.images.flatten(0, 1)], scored.scores

    def _grams(self, images: Sequence[Image.Image]) -> np.ndarray:
        assert isinstance(self.encoder, MapEncoder)
        return np.asarray(gram_vectors(self.encoder, images), np.float64)


def run(instruments: Instruments, chosen: Configuration, seed: int, done: set[str]) -> Iterator[dict[str, Any]]:
    """Train a configuration and seed; yield the line of each checkpoint that is not there."""
    recipe, concepts = replace(chosen.recipe, seed=seed), list(instruments.concepts.values())
    folder = RUNS / "checkpoints" / digest([plain(recipe), [c.name for c in concepts]])[:16]
    for steps in CHECKPOINTS:
        module = ZooTraining(instruments.backbone, concepts, recipe)
        trainer = fit(module, steps=steps, folder=folder, accelerator="cpu", stage=f"{chosen.name}, seed {seed}")
        trainer.save_checkpoint(folder / "last.ckpt", weights_only=False)
        if (key := key_of(chosen.name, seed, steps)) not in done:
            loras = dict(zip(instruments.concepts, module.loras(), strict=True))
            yield {"key": key, "configuration": chosen.name, "seed": seed, "steps": steps} | {
                "values": instruments.measure(loras)
            }
    shutil.rmtree(folder)


def key_of(name: str, seed: int, steps: int) -> str:
    """Return what tells one checkpoint from the others."""
    return f"{name}, seed {seed}, {steps} steps"


def describe_plan(chosen: Sequence[Configuration], seeds: Sequence[int], done: set[str]) -> str:
    """Return the numbers of trainings, checkpoints and images, and the hours that they take."""
    keys = [key_of(c.name, seed, steps) for c in chosen for seed in seeds for steps in CHECKPOINTS]
    left = [key for key in keys if key not in done]
    trainings = len({key.rpartition(",")[0] for key in left})
    images = len(left) * (len(CONTENTS) + len(STYLES)) * len(TYPES) * IMAGES
    hours = (trainings * CHECKPOINTS[-1] * STEP_SECONDS + images * IMAGE_SECONDS) / 3600
    return (
        f"{len(chosen)} configurations, {len(seeds)} seeds: {len(left)} of {len(keys)} checkpoints left, {trainings} "
        f"trainings, {images} images, about {hours:.1f} hours"
    )


def main() -> None:
    """Measure the checkpoints that are not in the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", action="store_true", help="print what is left and how long it takes")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of configurations")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), metavar="N", help="number of seeds")
    parser.add_argument("--output", type=Path, default=HERE / "results.jsonl", metavar="FILE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    everything = {chosen.name: chosen for chosen in configurations()}
    if unknown := [name for name in options.only or () if name not in everything]:
        parser.error(f"expected names among {list(everything)}, found {unknown}")
    chosen, seeds = [everything[name] for name in options.only or everything], SEEDS[: options.seeds]
    lines = options.output.read_text().splitlines() if options.output.exists() else []
    done = {json.loads(line)["key"] for line in lines}
    print(describe_plan(chosen, seeds, done))
    if options.plan:
        return
    instruments = None
    for configuration in chosen:
        for seed in seeds:
            if all(key_of(configuration.name, seed, steps) in done for steps in CHECKPOINTS):
                continue
            instruments, start = instruments or Instruments(), time.perf_counter()
            for row in run(instruments, configuration, seed, done):
                with options.output.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            print(f"{configuration.name}, seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
