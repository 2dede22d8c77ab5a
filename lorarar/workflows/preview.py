"""Preview: one labelled sheet of references, of each LoRA alone, and of methods by weights, at fixed seeds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from lorarar.datasets import (
    AXES,
    Pair,
    SheetCell,
    SheetPart,
    labelled_sheet,
    list_images,
    load_concepts,
    load_images,
    read_entries,
    tile_images,
)
from lorarar.diffusion import Backbone, Sampling, load_backbone, sample_composed, sample_loras
from lorarar.formats import load_all
from lorarar.hypernetwork import Network
from lorarar.lora import LoRA, input_weights, torch_dtype
from lorarar.mergers import (
    DEFAULT,
    MergeRequest,
    check_count,
    choose,
    combine,
    find_merger,
    place_loras,
    split_accelerators,
)
from lorarar.storage import FormatError, Stage, check_target, progress
from lorarar.training import phrase_of
from lorarar.worlds.stages import WorldClassifier, load_classifier, score_images, truth_of

_OTHERS = (DEFAULT, "direct", "ties")  # beside the default of the files
_WEIGHTS = ((1.0, 0.5), (1.0, 0.75), (1.0, 1.0), (0.75, 1.0), (0.5, 1.0))
_REFERENCE_PIXELS = 256
_SAMPLING = Sampling(20, 5.0)
_LATENTS = 2**12  # positions of a batch's latents: one image of a large base, 64 of the embedded one


@dataclass(frozen=True)
class PreviewRequest:
    """What a preview shows.

    Attributes:
        base: Folder or hub id of the base model.
        mergers: Methods; none takes the default of the files, "auto", "direct" and "ties".
        network: A learned merger for a row of its own.
        chosen: A whole request for the first row, "as chosen", with its blocks, balance and options; the columns give
            the weights.
        weights: LoRA weights of each column; none takes five from the content's side to the style's, for two LoRAs.
        prompt: Prompt of all images; None joins the trigger words of a content and a style.
        images: Folders of reference images, one for each LoRA; none takes those of an embedded world.
        seeds: Seeds of each cell, which shows their images as tiles.
        sampling: Steps and guidance.
        device, dtype: Where and in what the base computes.
    """

    base: str | Path
    mergers: Sequence[str] = ()
    network: str | Path | None = None
    chosen: MergeRequest | None = None
    weights: Sequence[Sequence[float]] = ()
    prompt: str | None = None
    images: Sequence[Path] = ()
    seeds: Sequence[int] = (0, 1, 2, 3)
    sampling: Sampling = _SAMPLING
    device: str = "auto"
    dtype: str = "fp32"


@dataclass(frozen=True)
class PreviewCell:
    """A method at weights, with scores by name, 0 to 1; none without a scorer of the base's world."""

    method: str
    weights: tuple[float, ...]
    scores: Mapping[str, float] = field(default_factory=dict)


def draw_preview(
    files: Sequence[str | Path], output: Path, request: PreviewRequest, *, force: bool = False
) -> list[PreviewCell]:
    """Draw a sheet: references, the base and each LoRA alone, and a row for each method with a column for each weight.

    All images have the same prompt and the same seeds. Mergers that compute on a base model are left to
    `merge_to_file`.

    Args:
        files: LoRA files or hub ids.
        output: PNG file.
        request: What the sheet shows.
        force: Whether an existing file may be replaced.

    Returns:
        Every cell with its scores.

    Raises:
        FileNotFoundError: There is no base model.
        FormatError: A file cannot be read, or the output exists or has another ending than .png.
        ValueError: The LoRAs do not fit each other, the base or a merger, or have no trigger words and `prompt` is
            not given.
    """
    check_target(output, force)
    if output.suffix.lower() != ".png":
        raise FormatError(f"expected a name that ends in .png, found {output}: give it that ending")
    loras = load_all(files, request.base if Path(request.base).is_dir() else None)
    columns = [tuple(column) for column in request.weights] or _default_weights(len(loras))
    rows = dict(_rows(loras, request, columns))
    prompt = request.prompt or _prompt(loras)
    references = _given_references(request, len(loras))
    backbone = load_backbone(request.base, device=request.device, dtype=torch_dtype(request.dtype))
    scorer = _open_scorer(request.base, loras)
    count = len(request.seeds) * (1 + len(loras) + len(rows) * len(columns))
    with progress("preview", count, "images") as advance:
        sampler = _Sampler(backbone, prompt, request, advance)
        alone = sampler.alone([None, *loras])
        grids = {name: sampler.row(loras, one, columns) for name, one in rows.items()}
    cells = [
        PreviewCell(name, column, scorer.score(images) if scorer else {})
        for name, grid in grids.items()
        for column, images in zip(columns, grid, strict=True)
    ]
    labels = [Path(str(file)).stem for file in files]
    references = references or (scorer.references() if scorer else [])
    parts = [
        _inputs(labels, alone, references, scorer),
        _grid(cells, [image for grid in grids.values() for image in grid]),
    ]
    sampling = request.sampling
    seeds = ", ".join(map(str, request.seeds))
    lines = [
        f"prompt: {prompt}",
        f"seeds {seeds}; {sampling.steps} steps, guidance {sampling.guidance:g}; {request.base}",
    ]
    if scorer:
        lines.append("bars: share of the content (teal) and of the style (orange) that is right; frame: best")
    labelled_sheet(output, " + ".join(labels), lines, parts, cell=144 if alone[0].shape[-1] <= 64 else 320)
    return cells


def describe_preview(cells: Sequence[PreviewCell]) -> str:
    """Return the scores of a preview as lines, the best first; "" without scores."""
    scored = sorted((cell for cell in cells if cell.scores), key=lambda cell: -cell.scores["joint"])
    lines = []
    for cell in scored:
        numbers = "  ".join(f"{name} {cell.scores[name]:.2f}" for name in ("joint", "content", "style"))
        lines.append(f"{numbers}  {cell.method}, weights {_label(cell.weights)}")
    return "\n".join(lines)


@dataclass(frozen=True)
class _Sampler:
    """Sampler of the sheet's images at one prompt and the same seeds."""

    backbone: Backbone
    prompt: str
    request: PreviewRequest
    advance: Stage

    def alone(self, loras: Sequence[LoRA | None]) -> list[Tensor]:
        """Return the images of each LoRA, (seeds, 3, h, w); None is the base."""
        positions = self.backbone.latent_shape[1] * self.backbone.latent_shape[2]
        size, images = max(1, _LATENTS // positions // len(self.request.seeds)), []
        for start in range(0, len(loras), size):
            part = loras[start : start + size]
            prompts = [self.prompt] * len(part)
            images += list(sample_loras(self.backbone, part, prompts, self.request.seeds, self.request.sampling))
            self.advance(len(part) * len(self.request.seeds))
        return images

    def row(self, loras: Sequence[LoRA], one: MergeRequest, columns: Sequence[tuple[float, ...]]) -> list[Tensor]:
        """Return the images of a method at the weights of each column."""
        merger = find_merger(one.merger) if one.merger else None
        if merger is None or merger.kind != "runtime":
            return self.alone([combine(loras, replace(one, weights=column)).lora for column in columns])
        images = []
        for column in columns:
            weighted = place_loras(loras, replace(one, weights=column))
            seeds, sampling = self.request.seeds, self.request.sampling
            images.append(sample_composed(self.backbone, weighted, merger, self.prompt, seeds, sampling, one.options))
            self.advance(len(seeds))
        return images


@dataclass(frozen=True)
class _Scorer:
    """Classifier of the base's world, and the pair of concepts that the LoRAs hold."""

    classifier: WorldClassifier
    pair: Pair

    def score(self, images: Tensor) -> dict[str, float]:
        """Return the mean scores of images (seeds, 3, h, w), 0 to 1."""
        scores = score_images(self.classifier, images[None].clamp(0, 1), [truth_of(self.classifier.world, self.pair)])
        return {name: float(values.mean()) for name, values in scores.items()}

    def references(self) -> list[Tensor]:
        """Return an image of each concept, (3, h, w), 0 to 1."""
        return [
            _read(concept.images[0], self.classifier.world.size) for concept in (self.pair.content, self.pair.style)
        ]


def _open_scorer(base: str | Path, loras: Sequence[LoRA]) -> _Scorer | None:
    """Return the scorer of an embedded world, whose files lie beside its base; None for other bases and LoRAs."""
    folder, names = Path(base).resolve().parent, [lora.metadata.get("concept", "") for lora in loras]
    manifest, classifier = folder / "concepts.yaml", folder / "classifier.safetensors"
    if len(loras) != 2 or not all(names) or not (manifest.is_file() and classifier.is_file()):
        return None
    if not set(names) <= {entry["name"] for entry in read_entries(manifest)}:
        return None
    concepts = load_concepts([manifest], folder / "images", names)
    return _Scorer(load_classifier(classifier), Pair(concepts[names[0]], concepts[names[1]]))


def _rows(
    loras: Sequence[LoRA], request: PreviewRequest, columns: Sequence[tuple[float, ...]]
) -> Iterator[tuple[str, MergeRequest]]:
    """Yield the label and the request of each method, checked."""
    one = MergeRequest(device=request.device)
    network: str | Path | Network | None = request.network
    for column in columns:
        input_weights(loras, column)
    if request.chosen:
        request.chosen.check()
        input_weights(loras, None, request.chosen.blocks, request.chosen.text_encoder)
        yield "as chosen", replace(request.chosen, device=request.device)
    if request.network:
        yield "network", replace(one, network=request.network)
    names = list(request.mergers)
    if not names and not request.chosen:
        default = choose(loras, one)
        network = network or default.network
        yield f"{default.method.name} (default)", one
        names = [name for name in _OTHERS if name != default.method.name]
    for column in columns if network else ():
        split = split_accelerators(loras, replace(one, network=network, weights=column))
        choose(split.others, split.request)  # refuses a weight of 0, by which the default would be another method
    for name in names:
        merger = find_merger(name)
        if merger.needs:
            raise ValueError(
                f"expected a merger that needs nothing but the files, found {name}, which needs {merger.needs}: merge "
                "with it first, and generate images with `lorarar generate`"
            )
        check_count(merger, len(split_accelerators(loras, one).others))
        yield name, replace(one, merger=name)


def _default_weights(count: int) -> list[tuple[float, ...]]:
    return [*_WEIGHTS] if count == 2 else [(weight,) * count for weight in (0.5, 0.75, 1.0)]


def _prompt(loras: Sequence[LoRA]) -> str:
    if len(loras) != 2:
        raise ValueError(f"expected `prompt` for {len(loras)} LoRAs, found none: give the prompt of the images")
    return " in ".join(phrase_of(lora, axis, None) for axis, lora in zip(AXES, loras, strict=True))


def _given_references(request: PreviewRequest, count: int) -> list[Tensor]:
    if request.images and len(request.images) != count:
        raise ValueError(f"expected a folder of images for each of {count} LoRAs, found {len(request.images)}")
    folders = [list_images(folder) for folder in request.images]
    for folder, images in zip(request.images, folders, strict=True):
        if not images:
            raise FileNotFoundError(f"expected images in {folder}, found none: check the path")
    return [_read(images[0], _REFERENCE_PIXELS) for images in folders]


def _read(path: Path, size: int) -> Tensor:
    return (load_images([path], size)[0] + 1) / 2


def _tiles(images: Tensor) -> Tensor:
    """Return images (k, 3, h, w) as one, the next square of tiles; missing ones are white."""
    side = math.ceil(math.sqrt(len(images)))
    return tile_images(torch.cat([images.clamp(0, 1), images.new_ones(side**2 - len(images), *images.shape[1:])]), side)


def _inputs(
    labels: Sequence[str], alone: Sequence[Tensor], references: Sequence[Tensor], scorer: _Scorer | None
) -> SheetPart:
    """Return the row of references, the base and each LoRA alone."""
    cells = [SheetCell(reference, "reference") for reference in references]
    columns = [*labels[: len(references)], "base alone", *(f"{label} alone" for label in labels)]
    cells += [_cell(images, scorer.score(images) if scorer else {}) for images in alone]
    return SheetPart("What goes in", tuple(columns), (("", tuple(cells)),))


def _grid(cells: Sequence[PreviewCell], images: Sequence[Tensor]) -> SheetPart:
    """Return the rows of methods; the cell of the best joint score is framed."""
    best = max((cell.scores["joint"] for cell in cells if cell.scores), default=math.inf)
    rows: dict[str, list[SheetCell]] = {}
    for cell, each in zip(cells, images, strict=True):
        framed = cell.scores.get("joint", 0.0) >= best
        rows.setdefault(cell.method, []).append(_cell(each, cell.scores, framed=framed))
    columns = dict.fromkeys(_label(cell.weights) for cell in cells)
    return SheetPart("Methods by weights", tuple(columns), tuple((name, tuple(row)) for name, row in rows.items()))


def _cell(images: Tensor, scores: Mapping[str, float], *, framed: bool = False) -> SheetCell:
    if not scores:
        return SheetCell(_tiles(images))
    bars = scores["content"], scores["style"]
    return SheetCell(_tiles(images), f"joint {scores['joint']:.2f}", bars, framed)


def _label(weights: Sequence[float]) -> str:
    return " : ".join(f"{weight:g}" for weight in weights)
