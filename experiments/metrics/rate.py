"""Speed of the embedded tower, in images per second.

python experiments/metrics/rate.py writes rate.json beside the script. It measures the way from files on disk to
features without the cache (reading, decoding, resizing, encoding), and Gram matrices as well. Small files have the
size of toy-world images, large ones the size at which a judge receives SDXL images.
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
    """Measure, and write rate.json."""
    torch.set_num_threads(1)  # processor time then means the same on a busy machine
    tower = load_encoder("tower")
    assert isinstance(tower, MapEncoder)
    rates = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            files = draw(Path(folder), size)
            rates[f"{size} pixels"] = measure(lambda files=files: image_features(files, tower))
            if size == SIZES[0]:
                with tempfile.TemporaryDirectory() as cache:
                    image_features(files, tower, cache=Path(cache))
                    rates["32 pixels, cached"] = measure(
                        lambda files=files, cache=Path(cache): image_features(files, tower, cache=cache)
                    )
                rates["32 pixels, Gram"] = measure(lambda files=files: gram_features(files, tower))
    result = {
        "images": IMAGES,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "rates": rates,
    }
    (HERE / "rate.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def draw(folder: Path, size: int) -> list[ImageFile]:
    """Write smooth random images, all different."""
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        small = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        small.resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{number}.png", compress_level=1)
    return [ImageFile(folder, f"{number}.png") for number in range(IMAGES)]


def measure(work: Callable[[], Features]) -> dict[str, float]:
    """Return wall and processor time of all images, as medians over rounds."""
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
