"""Cost of the index: rate of adding against only reading, time of a query, memory, size; 100,000 and 1,000,000 entries.

    python experiments/library/scale.py

All files are made by synthesis: 300 LoRAs of rank 8 for the 56 attention layers of the embedded base, five of rank 16
for 480 attention layers of SDXL, and 100,000 of rank 1 for two layers. Indexes of 100,000 entries and ten of them, a
million entries, hold random fingerprints without files. The graph of neighbours is measured on noisy copies of real
fingerprints, where usearch is installed. Results of a part that was measured are kept in scale.json; delete a part to
measure it again.
"""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from collection import HERE, collection, shipped
from numpy.typing import NDArray

from lorarar import save
from lorarar.formats import read_tensor_file
from lorarar.library import Library, approximate, fingerprint_lora
from lorarar.library.approximate import find_candidates, update_graph
from lorarar.library.search import nearest, similarities
from lorarar.lora import LoRA, LowRank, one_thread
from lorarar.storage import write_json

RUNS = Path("runs/library/scale")
FILES, TINY, FOLDER, ENTRIES, SHARDS, CODE = 300, 100_000, 10_000, 100_000, 10, 2048
Results = dict[str, object]


def main() -> None:
    """Measure every part that is missing."""
    torch.set_num_threads(1)
    RUNS.mkdir(parents=True, exist_ok=True)
    path = HERE / "scale.json"
    results: Results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name, measure in PARTS.items():
        if name not in results:
            results[name] = measure()
            print(name, results[name], flush=True)
            write_json(path, results)


def adding() -> Results:
    """Return the CPU milliseconds a file of adding and of only reading with a hash, for LoRAs of the embedded base."""
    return adding_files(RUNS / "files", FILES, 8, {path: layer.shape for path, layer in shipped()[0].layers.items()})


def adding_large() -> Results:
    """Return the same for LoRAs of the size of SDXL's."""
    places = [f"down_blocks.2.attentions.{i}" for i in range(2)] + [f"up_blocks.0.attentions.{i}" for i in range(3)]
    shapes = {}
    for place in [*places, "mid_block.attentions.0"]:
        for number in range(10):
            for layer in ("to_q", "to_k", "to_v", "to_out.0"):
                stem = f"{place}.transformer_blocks.{number}"
                shapes[f"{stem}.attn1.{layer}"] = (1280, 1280)
                shapes[f"{stem}.attn2.{layer}"] = (1280, 2048 if layer in ("to_k", "to_v") else 1280)
    return adding_files(RUNS / "large_files", 5, 16, shapes)


def adding_files(folder: Path, count: int, rank: int, shapes: Mapping[str, tuple[int, ...]]) -> Results:
    """Return the rates of random LoRAs in fp16, the better of two turns each."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        path = folder / f"{number:04d}.safetensors"
        if not path.exists():
            random = torch.Generator().manual_seed(number)
            layers = {
                layer: LowRank(torch.randn(out, rank, generator=random), torch.randn(rank, width, generator=random))
                for layer, (out, width) in shapes.items()
            }
            save(LoRA(layers), path, dtype=torch.float16)
    turns = [rates(folder, RUNS / f"adding_{turn}.sqlite") for turn in range(2)]
    best = {name: min(turn[name] for turn in turns) for name in turns[0]}
    return {"files": count} | best | {"bytes a file": path.stat().st_size}


def rates(folder: Path, index: Path, *, new: bool = True) -> dict[str, float]:
    """Return the CPU milliseconds a file of reading, adding, and adding again."""
    if new:
        index.unlink(missing_ok=True)
    files = sorted(folder.glob("*.safetensors"))

    def read() -> None:
        with one_thread():
            for path in files:
                read_tensor_file(path)

    def add() -> None:
        with Library(index) as library:
            library.add([folder], threads=1)

    works: dict[str, Callable[[], None]] = {"read and hash alone": read, "add, one thread": add}
    if new:
        works["add again, unchanged"] = add
    milliseconds = {}
    for name, work in works.items():
        start = time.process_time()
        work()
        milliseconds[f"{name}, CPU ms a file"] = round((time.process_time() - start) / len(files) * 1e3, 3)
    return milliseconds


def adding_many() -> Results:
    """Return the rates of 100,000 small files, ten folders of 10,000, and the size of their index and a query."""
    random, index = np.random.default_rng(0), RUNS / "many.sqlite"
    approximate.LEAST = 2 * TINY  # the graph is measured on its own
    index.unlink(missing_ok=True)
    layers = {f"mid_block.attentions.0.transformer_blocks.0.attn{i}.to_q": (64, 64) for i in (1, 2)}
    ones = {path: LowRank(torch.ones(out, 1), torch.ones(1, width)) for path, (out, width) in layers.items()}
    save(LoRA(ones), RUNS / "one.safetensors", dtype=torch.float32, force=True)
    whole = (RUNS / "one.safetensors").read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    rows = []
    for first in range(0, TINY, FOLDER):
        folder = RUNS / "many"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for number in range(first, first + FOLDER):
            data = random.standard_normal((len(whole) - start) // 4, np.float32).tobytes()
            (folder / f"{number:06d}.safetensors").write_bytes(whole[:start] + data)
        rows.append(rates(folder, index, new=False))
        print(first, rows[-1], flush=True)
    shutil.rmtree(folder)
    means = {name: round(float(np.mean([row[name] for row in rows])), 3) for name in rows[0]}
    last = {f"{name}, last 10,000": rows[-1][name] for name in ("add, one thread, CPU ms a file",)}
    with Library(index) as library:
        count, query = len(library), library.vector("direction", 1)
        start_time = time.process_time()
        nearest(library.vectors("direction"), query, 10)
        seconds = round(time.process_time() - start_time, 3)
    return {"files": count, **means, **last, "CPU seconds a query": seconds, "MB": index.stat().st_size // 10**6}


def one_index() -> Results:
    """Return time, memory and size of one index without files."""
    make_index(RUNS / "large.sqlite", 0)
    return in_process("query")


def ten_indexes() -> Results:
    """Return time, memory and size of ten indexes without files."""
    for shard in range(SHARDS):
        make_index(RUNS / f"shard_{shard}.sqlite", shard + 1)
    return in_process("shards")


def sizes() -> Results:
    """Return bytes, and CPU milliseconds of a comparison with 100,000, of fingerprints of several sizes."""
    random, results = np.random.default_rng(0), {}
    for kind, count in (("numbers", 256), ("numbers", 1024), ("numbers", 4096), ("signs", 4096), ("signs", 16384)):
        if kind == "numbers":
            vectors = random.standard_normal((ENTRIES // 5, count), np.float32)
        else:
            vectors = np.frombuffer(random.bytes(ENTRIES // 5 * count // 8), np.uint8).reshape(-1, count // 8)
        seconds = []
        for _ in range(5):
            start = time.process_time()
            similarities(vectors, vectors[0])
            seconds.append(time.process_time() - start)
        results[f"{count:,} {kind}"] = {"bytes": vectors[0].nbytes, "CPU ms": round(min(seconds) * 5e3, 1)}
    return results


def make_index(path: Path, seed: int, codes: Iterator[NDArray[np.uint8]] | None = None) -> None:
    """Write an index of random fingerprints, or of the given codes, without files."""
    if path.exists():
        return
    random = np.random.default_rng(seed)
    values = {"family": "sdxl", "dialect": "kohya", "algorithm": "lora", "rank": 16, "layers": 722, "norm": 5.0}
    values |= {"kind": "", "probability": 0.0, "triggers": "[]", "text": "a name with some trigger words"}
    with Library(path) as library:
        for start in range(0, ENTRIES, 10_000):
            with library.transaction():
                for number in range(start, start + 10_000):
                    code = next(codes) if codes else np.frombuffer(random.bytes(CODE), np.uint8)
                    vectors = {"direction": code, "sketch": random.standard_normal(256, np.float32)}
                    sha256 = hashlib.sha256(f"{seed}/{number}".encode()).hexdigest()
                    library.add_entry({**values, "sha256": sha256, "name": f"lora_{number}"}, vectors)


def noisy_copies(seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield fingerprints of the collection, with .05 to .45 of the bits flipped."""
    random = np.random.default_rng(seed)
    real = np.stack([fingerprint_lora(member.lora).vectors["direction"] for member in collection()])
    while True:
        share, thresholds = random.uniform(0.05, 0.45), random.integers(0, 256, CODE * 8, np.uint8)
        yield real[random.integers(len(real))] ^ np.packbits(thresholds < share * 256)


def graph() -> Results:
    """Return recall of the graph's candidates, and CPU time and size, against exact search."""
    if find_spec("usearch") is None:
        return {"not measured": "usearch is not installed"}
    path = RUNS / "graph.sqlite"
    make_index(path, 99, noisy_copies(1))
    queries = noisy_copies(2)
    with Library(path) as library:
        start = time.process_time()
        update_graph(library)
        built = time.process_time() - start
        shares, seconds = [], {"graph": 0.0, "exact": 0.0}
        for _ in range(100):
            code = next(queries)
            start = time.process_time()
            candidates = find_candidates(library, code, 10)
            found = nearest(library.vectors("direction", ids=candidates), code, 10)
            middle = time.process_time()
            exact = nearest(library.vectors("direction"), code, 10)
            seconds["graph"] += middle - start
            seconds["exact"] += time.process_time() - middle
            shares.append(float(np.isin(exact.ids, found.ids).mean()))
    return {
        "entries": ENTRIES,
        "queries": len(shares),
        "recall of the 10 nearest": round(float(np.mean(shares)), 4),
        "least recall of a query": min(shares),
        "CPU seconds a query by the graph": round(seconds["graph"] / len(shares), 4),
        "CPU seconds a query, exact": round(seconds["exact"] / len(shares), 4),
        "CPU seconds to build": round(built, 1),
        "MB of the graph": path.with_name(f"{path.name}.usearch").stat().st_size // 10**6,
    }


PARTS: dict[str, Callable[[], Results]] = {
    "sizes of fingerprints": sizes,
    "adding": adding,
    "adding files of 42 MB": adding_large,
    "100,000 entries": one_index,
    "1,000,000 entries in 10 shards": ten_indexes,
    "graph of neighbours": graph,
    "100,000 small files": adding_many,
}


def in_process(name: str) -> Results:
    """Return the measurements of a process of their own, whose memory is that of this measurement alone."""
    output = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True).stdout
    result: Results = json.loads(output)
    return result


def measure_query(paths: list[Path]) -> None:
    """Print CPU seconds of a query over all shards, the largest memory, and the size of the files."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    query = np.frombuffer(np.random.default_rng(99).bytes(CODE), np.uint8)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        best = []
        for path in paths:
            with Library(path) as library:
                found = nearest(library.vectors("direction"), query, 10)
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
        measure_query([RUNS / "large.sqlite"])
    elif sys.argv[1:] == ["shards"]:
        measure_query([RUNS / f"shard_{shard}.sqlite" for shard in range(SHARDS)])
    else:
        main()
