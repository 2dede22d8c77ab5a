"""Which images are unlike the world of the embedded tower: the numbers beside the encoder, and how well they tell.

    python experiments/metrics/unlike.py PHOTOS IMAGES..

PHOTOS holds folders of photos (here the DreamBooth data set, github.com/google/dreambooth), each IMAGES a folder of
images for each method, as runs/demo/images does. The limit is the middle between the 5 % of embedded images with the
smallest lengths and the 5 % of photos with the largest. Photos of every second folder choose it; the others test it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lorarar.datasets import list_images, load_concepts, load_image
from lorarar.diffusion import Sampling, load_backbone, sample_loras
from lorarar.evaluation.metrics.encoders import load_encoder
from lorarar.evaluation.metrics.encoders.likeness import TOWER_LIKENESS, Likeness, measure_likeness, save_likeness
from lorarar.evaluation.metrics.encoders.protocols import FeatureArray
from lorarar.formats import load
from lorarar.mergers import MergeRequest, combine
from lorarar.storage import EMBEDDED, plain, write_json
from lorarar.worlds.stages.classifier import disturb
from lorarar.worlds.toy.judge.data import render_pairs, scale_pixels

PAIRS, DIRECTIONS, SEED = 1500, 40, 0
WEIGHTS = (1.0, 2.0, 4.0)  # of both LoRAs of a direct merge: at 4 the images are destroyed
DEVIATION = 40  # of added noise, of 255
OUTPUT = Path("experiments/metrics/unlike.json")
Images = Sequence[Image.Image]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("images", type=Path, nargs="+")
    arguments = parser.parse_args()
    encode = load_encoder("tower").encode_images
    likeness = measure_likeness(encode(training_images()), DIRECTIONS)
    sets = embedded_sets(arguments.images)
    photos = [opened(folder) for folder in sorted(arguments.photos.iterdir()) if list(list_images(folder))]
    sets |= {"photos, choose the limit": join(photos[::2]), "photos, held out": join(photos[1::2])}
    sets |= other_sets(join(photos))
    features = {name: encode(images) for name, images in sets.items()}
    likeness = replace(likeness, limit=choose_limit(likeness, features))
    save_likeness(likeness, TOWER_LIKENESS)
    results = {name: summarise(likeness, rows) for name, rows in features.items()}
    write_json(OUTPUT, plain({"limit": round(likeness.limit, 3), "sets": results}))
    for name, row in results.items():
        quantiles = " | ".join(f"{row[key]:.2f}" for key in ("p05", "median", "p95"))
        print(f"| {name} | {row['images']} | {quantiles} | {row['unlike']:.0%} |")


def training_images() -> list[Image.Image]:
    """Return renders of training subjects and styles, plain and disturbed as in the tower's training."""
    renders = render_pairs(PAIRS, SEED).images.flatten(0, 1)
    disturbed = (disturb(scale_pixels(renders), torch.Generator().manual_seed(SEED)) + 1) * 127.5
    return pictures(torch.cat([renders, disturbed.round().byte()]))


def embedded_sets(folders: Sequence[Path]) -> dict[str, Images]:
    """Return references, generated images of each method, noisy ones, and images of merges at high weights."""
    sets: dict[str, Images] = {
        "embedded references": join([opened(f) for f in sorted((EMBEDDED / "images").iterdir())])
    }
    for folder in folders:
        for method in sorted(folder.iterdir()):
            sets[f"{method.name} ({folder.parent.name})"] = join([opened(f) for f in sorted(method.iterdir())])
    random = np.random.default_rng(SEED)
    generated = join([images for name, images in sets.items() if name != "embedded references"])
    sets[f"all methods, noise of {DEVIATION}"] = changed(generated, lambda p: p + random.normal(0, DEVIATION, p.shape))
    return sets | {f"direct at weight {weight:g}": merged(weight) for weight in WEIGHTS}


def other_sets(photos: Images) -> dict[str, Images]:
    """Return photos in other forms, and images without anything in them."""
    random = np.random.default_rng(SEED)
    sides = (32, 32)
    return {
        "photos at 32 pixels": [photo.resize(sides) for photo in photos],
        "middle of the photos": [crop(photo) for photo in photos],
        "photos in grey": [photo.convert("L").convert("RGB") for photo in photos],
        "random pixels": [Image.fromarray(random.integers(0, 256, (*sides, 3), dtype=np.uint8)) for _ in range(100)],
        "one colour": [Image.new("RGB", sides, tuple(random.integers(0, 256, 3).tolist())) for _ in range(100)],
    }


def merged(weight: float, count: int = 32) -> list[Image.Image]:
    """Return an image of the first validation pairs, merged by direct at a weight of both LoRAs."""
    names = [(f"validation_content_{i % 8:02}", f"validation_style_{i // 8:02}") for i in range(count)]
    concepts = load_concepts(
        [EMBEDDED / "concepts.yaml"], EMBEDDED / "images", sorted({n for pair in names for n in pair})
    )
    loras = {name: load(EMBEDDED / "loras" / f"{name}.safetensors") for name in concepts}
    request = MergeRequest(merger="direct", weights=(weight, weight))
    results = [combine([loras[c], loras[s]], request).lora for c, s in names]
    prompts = [f"{concepts[c].phrase} in {concepts[s].phrase}" for c, s in names]
    images = sample_loras(load_backbone(EMBEDDED / "base", device="cpu"), results, prompts, [SEED], Sampling(15, 2.5))
    return pictures((images[:, 0] * 255).round().byte())


def choose_limit(likeness: Likeness, features: Mapping[str, FeatureArray]) -> float:
    """Return the middle between small lengths of embedded images and large ones of photos."""
    embedded = np.concatenate([rows for name, rows in features.items() if is_embedded(name)])
    small = np.quantile(likeness.lengths(embedded), 0.05)
    large = np.quantile(likeness.lengths(features["photos, choose the limit"]), 0.95)
    return float((small + large) / 2)


def is_embedded(name: str) -> bool:
    return name == "embedded references" or name.endswith(")")


def summarise(likeness: Likeness, rows: FeatureArray) -> dict[str, float]:
    low, median, high = np.quantile(likeness.lengths(rows), (0.05, 0.5, 0.95)).round(3).tolist()
    return {
        "images": len(rows),
        "p05": low,
        "median": median,
        "p95": high,
        "unlike": round(float(likeness.are_unlike(rows).mean()), 4),
    }


def opened(folder: Path) -> list[Image.Image]:
    return [load_image(path) for path in list_images(folder)]


def join(sets: Sequence[Images]) -> list[Image.Image]:
    return [image for images in sets for image in images]


def crop(photo: Image.Image) -> Image.Image:
    width, height = photo.size
    return photo.crop((width // 4, height // 4, 3 * width // 4, 3 * height // 4))


def changed(images: Images, change: Callable[[np.ndarray], np.ndarray]) -> list[Image.Image]:
    return [Image.fromarray(change(np.asarray(i, np.float64)).clip(0, 255).astype(np.uint8)) for i in images]


def pictures(pixels: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in pixels]


if __name__ == "__main__":
    main()
