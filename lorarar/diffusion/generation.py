"""Generation: images of a prompt by a base and LoRAs, in memory or as files."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor

from lorarar.datasets import check_images, save_image, to_bytes
from lorarar.diffusion.backbone import Backbone
from lorarar.diffusion.loading import load_backbone
from lorarar.diffusion.sampling import Sampler, sample_composed, sample_loras
from lorarar.diffusion.settings import Sampling
from lorarar.formats import load_all
from lorarar.lora import LoRA, torch_dtype
from lorarar.mergers import MERGERS, Merger, MergeRequest, combine, place_loras
from lorarar.storage import check_present, say, track

if TYPE_CHECKING:
    from lorarar.hypernetwork import Network


_STYLE = "margin: 2px; min-width: 96px; image-rendering: pixelated"  # images of the toy world are 32 pixels wide


class Images(list[Image.Image]):
    """A list of images that a notebook shows in a row."""

    def _repr_html_(self) -> str:
        return "".join(f'<img src="data:image/png;base64,{_png(image)}" style="{_STYLE}">' for image in self)


def generate(
    base: str | Path | Backbone,
    loras: LoRA | str | Path | Sequence[LoRA | str | Path] = (),
    *,
    prompt: str,
    seeds: Sequence[int] = (0,),
    steps: int = 50,
    guidance: float = 5.0,
    merger: str | None = None,
    network: str | Path | Network | None = None,
    weights: Sequence[float] | None = None,
    balance: float | None = None,
    options: Mapping[str, float] | None = None,
    device: str = "auto",
    dtype: str = "fp32",
    offload: bool = False,
    allow_extrapolation: bool = False,
) -> Images:
    """Generate one image of a prompt for each seed, from a base model and any number of LoRAs.

    Args:
        base: Folder or hub id of a diffusers model, or a backbone from `lorarar.diffusion.load_backbone`, which is then
            loaded once for many calls.
        loras: LoRAs, or their paths or hub ids; one alone needs no list. None of them gives the base's own images.
            Several are merged as by `lorarar.merge`, or composed while sampling by a merger of the kind "runtime".
        prompt: Prompt of all images.
        seeds: Seed of each image. The same seed gives the same starting noise on every device.
        steps: Steps of the base's scheduler.
        guidance: Scale of classifier-free guidance; 1 is without guidance.
        merger: A name in `lorarar.MERGERS`; see `lorarar.merge`.
        network: A trained merger; see `lorarar.merge`.
        weights: LoRA weight of each LoRA; None is 1 for all.
        balance: How far the LoRAs are brought to one length first; see `lorarar.merge`.
        options: Own settings of the merger. A merger of the kind "delta" keeps its dense deltas.
        device: "cpu", "cuda", "mps", or "auto" for the best that is present.
        dtype: What the base computes in: "fp32", "fp16" or "bf16".
        offload: Whether the text encoders and the autoencoder lie on the CPU while they are not used.
        allow_extrapolation: Whether a network may merge LoRAs that lie far outside what it was trained on.

    Returns:
        The images, RGB, in the order of the seeds.

    Raises:
        FileNotFoundError: There is no base model.
        FormatError: A LoRA file cannot be read.
        ValueError: A LoRA does not fit the base, the LoRAs do not fit each other, or an argument is out of its range.

    Examples:
        >>> images = generate("data/embedded/base", merged, prompt="a sks cat")  # doctest: +SKIP
        >>> images[0].save("cat.png")  # doctest: +SKIP
    """
    given = [loras] if isinstance(loras, LoRA | str | Path) else list(loras)
    request = MergeRequest(
        merger=merger,
        network=network,
        weights=weights,
        balance=balance,
        options=options or {},
        dense=True,
        device=device,
        allow_extrapolation=allow_extrapolation,
    )
    sample = open_sampler(base, given, Sampling(steps, guidance), request, dtype=dtype, offload=offload)
    return Images(
        Image.fromarray(to_bytes(sample(prompt, [seed])[0])) for seed in track(seeds, "sample", unit="images")
    )


def generate_files(
    base: str | Path | Backbone,
    loras: Sequence[LoRA | str | Path],
    prompt: str,
    seeds: Sequence[int],
    sampling: Sampling,
    output: Path,
    request: MergeRequest | None = None,
    *,
    dtype: str = "fp32",
    offload: bool = False,
    force: bool = False,
) -> list[Path]:
    """Write `output/<seed>.png` for each seed.

    Args:
        base, loras, request, dtype, offload: See `open_sampler`.
        prompt: One prompt for all images.
        seeds: Seeds of the starting noise.
        sampling: Steps and guidance.
        output: Folder for the images.
        force: Whether existing images may be replaced.

    Returns:
        The images' paths, in the order of the seeds.

    Raises:
        FormatError: An image exists and force is False; or as `open_sampler`.
        FileNotFoundError, ValueError: As `open_sampler`.
    """
    check_present(given for given in loras if isinstance(given, str | Path))
    check_images([output / f"{seed}.png" for seed in seeds], force)
    sample = open_sampler(base, loras, sampling, request, dtype=dtype, offload=offload)
    output.mkdir(parents=True, exist_ok=True)
    paths = []
    for seed in track(seeds, "sample", unit="images"):
        paths.append(output / f"{seed}.png")
        save_image(sample(prompt, [seed])[0], paths[-1])
    return paths


def open_sampler(
    base: str | Path | Backbone,
    loras: Sequence[LoRA | str | Path],
    sampling: Sampling,
    request: MergeRequest | None = None,
    *,
    dtype: str = "fp32",
    offload: bool = False,
) -> Sampler:
    """Load a base and LoRAs, merged where there are several, once for many prompts.

    Args:
        base: Folder or hub id of the base model, or a loaded one.
        loras: LoRAs, or their paths or hub ids: none for the base alone.
        sampling: Steps and guidance.
        request: How several LoRAs are merged; None merges as `lorarar.mergers.combine` does by default. Mergers of the
            kind "runtime" act while sampling; the others merge in memory first.
        dtype: What the base computes in: fp32, fp16 or bf16; a loaded one keeps its own.
        offload: Whether the text encoders and the autoencoder lie on the CPU while they are not used; a loaded base
            keeps its own choice.

    Returns:
        A function of a prompt and k seeds, whose images are (k, 3, height, width), 0 to 1, on the CPU.

    Raises:
        FormatError: A LoRA's file cannot be read.
        FileNotFoundError: There is no base model.
        ValueError: The LoRAs do not fit the base, each other or the merger.
    """
    request = request or MergeRequest()
    local = not isinstance(base, Backbone) and Path(base).expanduser().is_dir()
    loaded = load_all(loras, str(base) if loras and local else None)
    loaded, runtime = _prepare(loaded, request)
    if isinstance(base, Backbone):
        backbone = base
    else:
        backbone = load_backbone(base, device=request.device, dtype=torch_dtype(dtype), offload=offload)

    def sample(prompt: str, seeds: Sequence[int]) -> Tensor:
        if runtime:
            return sample_composed(backbone, loaded, runtime, prompt, seeds, sampling, request.options)
        return sample_loras(backbone, [loaded[0] if loaded else None], [prompt], seeds, sampling)[0]

    return sample


def _prepare(loras: list[LoRA], request: MergeRequest) -> tuple[list[LoRA], Merger | None]:
    """Return at most one LoRA and no merger, or several LoRAs and the merger that composes them while sampling."""
    row = MERGERS.get(request.merger or "")
    if row and row.kind == "runtime":
        return place_loras(loras, request), row
    weighted = request.weights or request.blocks or request.text_encoder is not None
    if len(loras) > 1 or request.merger or request.network or weighted:
        merged = combine(loras, request)
        for warning in merged.warnings:
            say(f"warning: {warning}")
        return [merged.lora], None
    return loras, None


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()
