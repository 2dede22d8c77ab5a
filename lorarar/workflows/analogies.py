"""Analogy runs: train a basis of LoRAs with its router, and answer analogies of image files."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from torch import Tensor

from lorarar.analogies import (
    Analogies,
    AnalogyConfig,
    AnalogyTraining,
    Examples,
    TrainedBasis,
    check_triplet,
    digest_of,
    encode_examples,
    folder_examples,
    new_basis,
    save_basis,
)
from lorarar.datasets import check_images, save_image
from lorarar.diffusion import Backbone, Sampling, load_backbone
from lorarar.evaluation.metrics.encoders import load_encoder
from lorarar.formats import check_lora_target, save
from lorarar.lora import DTYPES
from lorarar.storage import atomic_write, cached_path, check_inputs, claim_run, json_line
from lorarar.training import fit, tracker
from lorarar.worlds.toy import draw_analogies, plan_analogies


@dataclass(frozen=True)
class AnalogyRequest:
    """Analogies to answer.

    Attributes:
        basis: File of a trained basis.
        before: Images a, of one analogy or of several that are mixed.
        after: Images a', one for each.
        image: Image b.
        output: File for b'.
        weights: Weight of each analogy's mix; None for equal weights of sum 1. The base sees the first of the heaviest.
        lora: File for the mix as a LoRA; None for no file.
        base: Base of the basis; None for the one that the file names.
        seed: Noise seed.
        sampling: Steps and guidance.
        device: Where to compute.
        force: Whether existing files may be replaced.
    """

    basis: Path
    before: tuple[Path, ...]
    after: tuple[Path, ...]
    image: Path
    output: Path
    weights: tuple[float, ...] | None = None
    lora: Path | None = None
    base: str | None = None
    seed: int = 0
    sampling: Sampling = field(default_factory=lambda: Sampling(steps=10, guidance=1.0))
    device: str = "auto"
    force: bool = False


def answer_analogies(request: AnalogyRequest) -> list[Path]:
    """Answer a : a' = b : b'; write b', and on demand the LoRA that makes it.

    Returns:
        The files that were written.

    Raises:
        FormatError: A file exists and `request.force` is False, or the basis is damaged.
        FileNotFoundError: There is no base.
        ValueError: An image cannot be read, images differ in size, a equals a', the numbers of images or weights
            differ, or the base is another one than the basis was trained on.
    """
    count = len(request.before)
    weights = request.weights or (1 / count,) * count
    if not count == len(request.after) == len(weights):
        raise ValueError(
            f"expected as many images after as before, and a weight for each, found {count} in `before`, "
            f"{len(request.after)} in `after` and {len(weights)} in `weights`: give one of each for each analogy"
        )
    triplets = [check_triplet(a, b, request.image) for a, b in zip(request.before, request.after, strict=True)]
    check_images([request.output], request.force)
    if request.lora is not None:
        check_lora_target(request.lora, None, request.force, [request.basis])
    analogies = Analogies.load(request.basis, request.base, device=request.device)
    pixels = analogies.pixels(triplets)
    mix = torch.einsum("n,nlc->lc", torch.tensor(weights), analogies.mix(pixels).cpu()).to(analogies.backbone.device)
    heaviest = weights.index(max(weights))
    answer = analogies.answer(pixels[heaviest : heaviest + 1], mix[None], [request.seed], request.sampling)
    save_image(answer[0], request.output)
    if request.lora is None:
        return [request.output]
    facts = {"method": "analogies", "basis": str(request.basis), "base": analogies.trained.base}
    return [request.output, *save(analogies.lora(mix), request.lora, metadata=facts, force=request.force)]


def run_analogies(config: AnalogyConfig) -> Path:
    """Train a basis; return its file, `config.runs/basis.safetensors`.

    Raises:
        ConfigError: The folder holds a run of another configuration.
        DivergenceError: The loss is not finite.
        FileNotFoundError: The base or the examples do not exist.
        ValueError: The base has no layers of the configured names.
    """
    check_inputs(config)
    claim_run(config.runs, config)
    backbone = load_backbone(
        config.base,
        device=config.device,
        dtype=DTYPES[config.dtype],
        gradient_checkpointing=config.gradient_checkpointing,
    )
    examples = training_examples(config, backbone)
    basis = new_basis(config.basis, backbone, examples, config.seed)
    module = AnalogyTraining(
        basis,
        backbone,
        examples,
        config.recipe,
        batch=config.batch,
        prompt=config.prompt,
        seed=config.seed,
        noisiest=config.noisiest,
    )
    facts = {"method": "analogies", "base": config.base, "seed": str(config.seed)}
    fit(
        module,
        steps=config.recipe.steps,
        folder=config.runs,
        accelerator=backbone.device.type,
        checkpoint_every=config.checkpoint_every,
        logger=tracker(config.wandb, config.runs, facts),
        dtype=config.dtype,
        stage="train the basis",
    )
    trained = TrainedBasis(
        basis, config.base, digest_of(backbone.denoiser), config.layout, config.prompt, examples.names
    )
    path = config.runs / "basis.safetensors"
    save_basis(trained, path, facts | {"recipe": json_line(asdict(config.recipe)).strip()})
    return path


def training_examples(config: AnalogyConfig, backbone: Backbone) -> Examples:
    """Return the encoded training analogies; those of one autoencoder, encoder and plan are kept beside the run."""
    size = backbone.resolution // (1 if config.layout == "images" else 2)
    as_grid = config.basis.router == "grid"
    kept = {"autoencoder": digest_of(backbone.pipeline.vae), "layout": config.layout, "size": size}
    kept |= {"encoder": config.basis.encoder, "path": config.basis.encoder_path, "as_grid": as_grid}
    if config.examples is None:
        kept |= {"world": "toy", "part": config.part, "analogies": config.analogies, "seed": config.seed}
    else:
        files = sorted(config.examples.rglob("*.png"))
        kept |= {"files": [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]}
    path = cached_path(config.runs.parent / "examples", kept, ".pt")
    if path.is_file():
        return Examples(**torch.load(path, weights_only=True))
    images, names = _images(config, size)
    encoder = load_encoder(config.basis.encoder, path=config.basis.encoder_path, device=config.device)
    examples = encode_examples(backbone, encoder, images, names, layout=config.layout, as_grid=as_grid)
    with atomic_write(path, force=True) as temporary:
        torch.save({part.name: getattr(examples, part.name) for part in fields(examples)}, temporary)
    return examples


def _images(config: AnalogyConfig, size: int) -> tuple[Tensor, list[str]]:
    if config.examples is not None:
        return folder_examples(config.examples, size)
    plan = plan_analogies(config.part, config.analogies, config.seed)
    return draw_analogies(plan), [analogy.transformation.name for analogy in plan]
