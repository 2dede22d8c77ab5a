"""Descriptions of LoRAs: a model puts into words what each LoRA draws alone, for mergers that learn from words.

A content draws its own prompt at four seeds; a style draws four different things, which have the style alone in common.
A LoRA is what its file states, so two contents or two styles are described as such; where a file states nothing, the
first is the content. One question shows the four images. Its answer is kept in a text file beside them, which the next
merge reads.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from lorarar.datasets import AXES, Concept, load_image, save_image
from lorarar.diffusion import SAMPLING, Backbone, open_sampler
from lorarar.evaluation.judge import Backend
from lorarar.evaluation.judge.ask import DESCRIBE, DESCRIBED_IMAGES, describe_images
from lorarar.evaluation.judge.ask.backends import BackendSettings, open_backend
from lorarar.formats import load_all
from lorarar.lora import LoRA
from lorarar.mergers import DEFAULT, MergeRequest, choose, fitting_network, split_accelerators
from lorarar.storage import EMBEDDED_DESCRIBER, checked, digest, sha256, stated, track, write_text
from lorarar.training import PairOptimiser, concept_of

# From a network's coefficients these steps do what 100 at the default rate do from 1 (experiments/main).
_OPTIONS: Mapping[str, float] = {"steps": 10, "learning_rate": 0.1}
_SUBJECTS = ("cat", "house", "tree", "car")  # of a style's images: words that every base knows
_TINY_PIXELS = 32  # images of the toy world, the only ones that the embedded describer knows


def open_described(request: MergeRequest, files: Sequence[LoRA | str | Path]) -> tuple[MergeRequest, PairOptimiser]:
    """Describe the LoRAs of a request, and choose what its optimisation starts from.

    Args:
        request: A checked request for a merger that needs descriptions, with `pair.describe`.
        files: The content and the style, or two of one kind, LoRAs or their files.

    Returns:
        The request with descriptions, with the network that is shipped for the LoRAs' family and fits them as its
        start, else "auto", and with few steps, where these are not given; and its optimiser, which has the base if the
        base was needed.

    Raises:
        FormatError: A file cannot be read.
        FileNotFoundError: There is no base model.
        ConnectionError: The server does not answer.
        ValueError: There are not two LoRAs, they do not fit each other or the request, one has no prompt, there is no
            such back end, or the model gave no description.
    """
    loras = load_all(files, request.weights_base)
    split = split_accelerators(loras, request)
    loras = list(split.others)
    if len(loras) != 2:
        raise ValueError(f"expected two LoRAs to describe, a content and a style, found {len(loras)}: give two")
    choose(loras, split.request)  # refuses a wrong order and other mistakes before anything is drawn
    start = request.pair.init or fitting_network(loras) or DEFAULT
    options = {**_OPTIONS, **request.options}
    inputs = replace(request.pair, init=start)
    optimiser = PairOptimiser(str(request.base), inputs, request.device, balance=request.balance or 0.0)
    optimiser = describe_loras(optimiser, loras)
    return replace(request, pair=optimiser.inputs, options=options), optimiser


def describe_loras(optimiser: PairOptimiser, loras: Sequence[LoRA]) -> PairOptimiser:
    """Return an optimiser with a description of each LoRA; descriptions that are given stay.

    Args:
        optimiser: The optimiser, whose inputs name the back end and the folder for checkpoints. Images and descriptions
            are kept in the folder `descriptions` beside that folder.
        loras: The content and the style, or two of one kind. The first gets `content_description`, the second
            `style_description`.

    Raises:
        As `open_described`.
    """
    inputs, load, backend = optimiser.inputs, cache(optimiser.load), cache(partial(_open_describer, optimiser))
    words: dict[str, Any] = {}
    concepts = {  # of the LoRAs to describe; a missing prompt is refused before anything is drawn
        axis: concept_of(lora, Path(lora.name).stem, axis, None, getattr(inputs, f"{axis}_prompt"))
        for axis, lora in zip(AXES, loras, strict=True)
        if not getattr(inputs, f"{axis}_description")
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = inputs.runs.parent / "descriptions" if inputs.runs else Path(temporary)
        for axis, lora in zip(AXES, loras, strict=True):
            key = f"{axis}_description"
            if axis not in concepts:
                continue
            concept = concepts[axis]  # its kind is not the axis where two contents or two styles are merged
            place = _place(folder if lora.sha256 else Path(temporary) / axis, optimiser, lora, concept)
            file = place / "description.txt"
            if not file.is_file():
                backend()  # refuses a wrong name or a server that does not answer before anything is drawn
                images = _draw(load, lora, _prompts(concept), place)
                _check_known(str(inputs.describe), images[0])
                write_text(file, describe_images(backend(), images, concept.kind, key) + "\n")
            words[key] = file.read_text(encoding="utf-8").strip()
            kept = f"; correct it in {file}" if file.is_relative_to(folder) and inputs.runs else ""
            print(f"{concept.kind}, described by {inputs.describe}: {words[key]}{kept}", file=sys.stderr)
    loaded = load() if load.cache_info().currsize else None
    return replace(optimiser, inputs=replace(inputs, **words), loaded=loaded)


def name_describer(describe: str) -> str:
    """Return the name of a describer, with the hash of its weights where it is the embedded one."""
    return f"tiny {sha256(EMBEDDED_DESCRIBER / 'model.safetensors')}" if describe == "tiny" else describe


def _place(folder: Path, optimiser: PairOptimiser, lora: LoRA, concept: Concept) -> Path:
    """Return the folder of a LoRA's images and description, named after all that they depend on."""
    identity = {
        "lora": lora.sha256,
        "base": str(optimiser.base),
        "prompts": _prompts(concept),
        "sampling": stated(SAMPLING),
        "question": DESCRIBE[concept.kind],
        "describe": name_describer(str(optimiser.inputs.describe)),
    }
    return folder / f"{concept.name or concept.kind}_{digest(identity)[:12]}"


def _prompts(concept: Concept) -> list[str]:
    """Return the prompt of each image."""
    if concept.kind == "content":
        return [concept.phrase] * DESCRIBED_IMAGES
    return [f"a {subject} in {concept.phrase}" for subject in _SUBJECTS]


def _draw(load: Callable[[], Backbone], lora: LoRA, prompts: Sequence[str], place: Path) -> list[Path]:
    """Draw the images that are not there yet, one after the other."""
    place.mkdir(parents=True, exist_ok=True)
    paths = [place / f"{seed}.png" for seed in range(len(prompts))]
    missing = [seed for seed, path in enumerate(paths) if not path.is_file()]
    if missing:
        sample = open_sampler(load(), [lora], SAMPLING)
        for seed in track(missing, "draw what to describe", unit="images"):
            save_image(sample(prompts[seed], [seed])[0], paths[seed])
    return paths


def _check_known(describe: str, image: Path) -> None:
    """Check that the describer knows such images.

    Raises:
        ValueError: It is the embedded one, and the image is of another size than the toy world's.
    """
    width, _ = load_image(image).size
    if describe == "tiny" and width != _TINY_PIXELS:
        raise ValueError(
            f"expected the embedded base for the embedded describer (tiny), whose images are {_TINY_PIXELS} pixels "
            f'wide, found {width} pixels: give "openai:MODEL@URL" or "transformers:PATH" as `describe`'
        )


def _open_describer(optimiser: PairOptimiser) -> Backend:
    name = str(optimiser.inputs.describe)
    if name == "tiny":
        name = f"transformers:{checked(EMBEDDED_DESCRIBER)}"
    return open_backend(name, BackendSettings(answer="text", device=optimiser.device))
