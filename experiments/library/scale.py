"""Cost of the index: rate of adding against only reading, time of a query, memory, size; 100,000 and 1,000,000 entries.

    python experiments/library/scale.py

Files for the rate of adding are made by synthesis: LoRAs of rank 8 for all attention layers of the embedded base, in
fp16. Larger indexes hold random fingerprints without files; a million are spread over ten shards.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from collection import HERE, shipped

from lorarar import save
from lorarar.formats import read_tensor_file
from lorarar.library import Library
from lorarar.library.search import nearest
from lorarar.lora import LoRA, LowRank, one_thread
from lorarar.storage import write_json

RUNS = Path("runs/library/scale")
FILES, ENTRIES, SHARDS, DIMENSIONS = 300, 100_000, 10, 256


def main() -> None:
    """Measure everything."""
    torch.set_num_threads(1)
    RUNS.mkdir(parents=True, exist_ok=True)
    results: dict[str, object] = {"adding": adding()}
    make_index(RUNS / "large.sqlite", ENTRIES, 0)
    results["100,000 entries"] = in_process("query")
    for shard in range(SHARDS):
        make_index(RUNS / f"shard_{shard}.sqlite", ENTRIES, shard + 1)
    results["1,000,000 entries in 10 shards"] = in_process("shards")
    write_json(HERE / "scale.json", results)


def adding() -> dict[str, float]:
    """Return the seconds a file of adding and of only reading with a hash, in turns."""
    folder = RUNS / "files"
    folder.mkdir(exist_ok=True)
    shapes = {path: layer.shape for path, layer in shipped()[0].layers.items()}
    for number in range(FILES):
        path = folder / f"{number:04d}.safetensors"
        if not path.exists():
            random = torch.Generator().manual_seed(number)
            layers = {
                layer: LowRank(torch.randn(out, 8, generator=random), torch.randn(8, width, generator=random))
                for layer, (out, width) in shapes.items()
            }
            save(LoRA(layers), path, dtype=torch.float16)
    files = sorted(folder.glob("*.safetensors"))
    seconds: dict[str, list[float]] = {"read and hash alone": [], "add, one thread": [], "add again, unchanged": []}
    for turn in range(2):
        index = RUNS / f"adding_{turn}.sqlite"
        index.unlink(missing_ok=True)
        start = time.process_time()
        with one_thread():
            for path in files:
                read_tensor_file(path)
        seconds["read and hash alone"].append(time.process_time() - start)
        for name in ("add, one thread", "add again, unchanged"):
            start = time.process_time()
            with Library(index) as library:
                library.add([folder], threads=1)
            seconds[name].append(time.process_time() - start)
    return {f"{name}, CPU ms a file": round(min(values) / FILES * 1e3, 3) for name, values in seconds.items()} | {
        "bytes a file": files[0].stat().st_size
    }


def make_index(path: Path, count: int, seed: int) -> None:
    """Write an index of random fingerprints without files."""
    if path.exists():
        return
    random = np.random.default_rng(seed)
    values = {"family": "sdxl", "dialect": "kohya", "algorithm": "lora", "rank": 16, "layers": 722, "norm": 5.0}
    values |= {"kind": "", "probability": 0.0, "triggers": "[]", "text": "a name with some trigger words"}
    with Library(path) as library:
        for start in range(0, count, 10_000):
            with library.transaction():
                for number in range(start, start + 10_000):
                    vectors = {"sketch": random.standard_normal(DIMENSIONS, dtype=np.float32)}
                    sha256 = hashlib.sha256(f"{seed}/{number}".encode()).hexdigest()
                    library.add_entry({**values, "sha256": sha256, "name": f"lora_{number}"}, vectors)


def in_process(name: str) -> dict[str, float]:
    """Return the measurements of a process of their own, whose memory is that of this measurement alone."""
    output = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True).stdout
    print(name, output, flush=True)
    result: dict[str, float] = json.loads(output)
    return result


def measure(paths: list[Path]) -> None:
    """Print CPU seconds of a query over all shards, the largest memory, and the size of the files."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    query = np.random.default_rng(99).standard_normal(DIMENSIONS, dtype=np.float32)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        best = []
        for path in paths:
            with Library(path) as library:
                found = nearest(library.vectors("sketch"), query, 10)
            best += list(zip(found.similarities.tolist(), found.ids.tolist(), strict=True))
        sorted(best, reverse=True)
        seconds.append(time.process_time() - start)
    with Library(paths[0]) as library:
        start = time.process_time()
        library.search("trigger lora_77", count=10)
        words = time.process_time() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = sum(path.stat().st_size for path in paths)
    numbers = {"CPU seconds a query": min(seconds), "CPU seconds a search by words, one shard": words}
    rounded = {name: round(value, 3) for name, value in numbers.items()}
    print(
        json.dumps(rounded | {"MiB of memory above that of the imports": (after - before) // 1024, "MB": size // 10**6})
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["query"]:
        measure([RUNS / "large.sqlite"])
    elif sys.argv[1:] == ["shards"]:
        measure([RUNS / f"shard_{shard}.sqlite" for shard in range(SHARDS)])
    else:
        main()
