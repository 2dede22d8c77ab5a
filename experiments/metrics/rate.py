"""How many images a second the embedded tower sees: python experiments/metrics/rate.py. Writes rate.json beside it.

From files on disk to features, without the cache: reading, decoding, resizing, encoding; and Gram matrices as well.
Small files are as the toy world makes them, large ones as SDXL's images are shown to a judge.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lorarar.evaluation.metrics import Features, ImageFile, gram_features, image_features
from lorarar.evaluation.metrics.encoders import MapEncoder, load_encoder

IMAGES, ROUNDS, SIZES = 1000, 3, (32, 512)
HERE = Path(__file__).parent


def main() -> None:
    """Measures and writes."""
    torch.set_num_threads(1)  # so that the processor's time means the same on a busy machine
    tower = load_encoder("tower")
    assert isinstance(tower, MapEncoder)
    found = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            pictures = draw(Path(folder), size)
            found[f"{size} pixels"] = measure(lambda given=pictures: image_features(given, tower))
            if size == SIZES[0]:
                with tempfile.TemporaryDirectory() as cache:
                    image_features(pictures, tower, cache=Path(cache))
                    found["32 pixels, cached"] = measure(
                        lambda given=pictures, kept=Path(cache): image_features(given, tower, cache=kept)
                    )
                found["32 pixels, Gram"] = measure(lambda given=pictures: gram_features(given, tower))
    result = {
        "images": IMAGES,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "rates": found,
    }
    (HERE / "rate.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def draw(folder: Path, size: int) -> list[ImageFile]:
    """Smooth random pictures, no two alike."""
    lot = np.random.default_rng(0)
    for number in range(IMAGES):
        small = Image.fromarray(lot.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        small.resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{number}.png", compress_level=1)
    return [ImageFile(folder, f"{number}.png") for number in range(IMAGES)]


def measure(work: Callable[[], Features]) -> dict[str, float]:
    """Wall and processor time of all images, the median of some rounds."""
    walls, processors = [], []
    for _ in range(ROUNDS):
        wall, processor = time.perf_counter(), time.process_time()
        assert len(work().rows) == IMAGES
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    seconds = statistics.median(walls)
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(statistics.median(processors), 2),
        "images_a_second": round(IMAGES / seconds, 1),
    }


if __name__ == "__main__":
    main()
