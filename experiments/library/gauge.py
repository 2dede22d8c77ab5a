"""Hostile factorisations and round trips of files: is 'same weights' found for each, and how often falsely?

    python experiments/library/gauge.py

Files of the collection and of the shipped zoo are rewritten in ways that keep the weights. The index must name the
original as the nearest by sketch, and the exact cosine must reach 1 - 1e-4. False alarms are counted over all pairs of
different LoRAs; epochs.py measures checkpoints of one run.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import torch
from collection import HERE, LORAS, SHIPPED, exact_cosines
from torch import Tensor

from lorarar import load, save
from lorarar.library import Library, judge_pair, measure_pair
from lorarar.library.duplicates import SAME_COSINE, VERSION_COSINE
from lorarar.library.products import cosine
from lorarar.lora import LoRA, LowRank, truncate_lora
from lorarar.storage import write_json

WAYS = ("own", "shared", "short")  # LoHa and LoKr layers without thin factors cannot be written in every dialect
RUNS, EACH = Path("runs/library"), 6  # originals of each way
RANDOM = torch.Generator().manual_seed(0)
Change = Callable[[LowRank], LowRank]


def invertible(condition: float) -> Change:
    """Return a change of basis G whose condition number is at most this."""

    def change(f: LowRank) -> LowRank:
        u, _, vh = torch.linalg.svd(torch.randn(f.rank, f.rank, generator=RANDOM, dtype=torch.float64))
        s = torch.logspace(0, float(torch.log10(torch.tensor(condition))), f.rank, dtype=torch.float64)
        up, down = f.B.double() @ (u * s) @ vh, vh.T @ ((u.T @ f.A.double()) / s[:, None])
        return LowRank(up.float(), down.float(), f.scale)

    return change


def permuted(f: LowRank) -> LowRank:
    """Return the ranks in another order."""
    order = torch.randperm(f.rank, generator=RANDOM)
    return replace(f, B=f.B[:, order], A=f.A[order])


def split(f: LowRank) -> LowRank:
    """Return every rank as two, .3 and .7 of it."""
    return replace(f, B=torch.cat([0.3 * f.B, 0.7 * f.B], 1), A=torch.cat([f.A, f.A]))


def padded(f: LowRank) -> LowRank:
    """Return twice the ranks: up factors of zero beside random down factors."""
    more: Tensor = torch.randn(f.A.shape, generator=RANDOM)
    return replace(f, B=torch.cat([f.B.float(), torch.zeros(f.B.shape)], 1), A=torch.cat([f.A.float(), more]))


def rescaled(f: LowRank) -> LowRank:
    """Return the same delta with another alpha."""
    return replace(f, B=f.B * 8, scale=f.scale / 8)


def each(change: Change) -> Callable[[LoRA], LoRA]:
    """Return the change of all layers that have factors."""
    return lambda lora: replace(
        lora, layers={p: change(f) if isinstance(f, LowRank) else f for p, f in lora.layers.items()}
    )


CHANGES: Mapping[str, Callable[[LoRA], LoRA]] = {
    "random G, condition 10": each(invertible(10)),
    "random G, condition 1000": each(invertible(1000)),
    "permuted ranks": each(permuted),
    "split ranks": each(split),
    "padded ranks": each(padded),
    "another alpha": each(rescaled),
    "unchanged": lambda lora: lora,
}


def main() -> None:
    """Measure everything."""
    torch.set_num_threads(1)
    index = RUNS / "gauge.sqlite"
    index.unlink(missing_ok=True)
    with Library(index) as library:
        library.add([LORAS, SHIPPED])
        originals = [path for way in WAYS for path in sorted(LORAS.glob(f"{way}0_*.safetensors"))[:EACH]]
        originals += sorted(SHIPPED.glob("test_*.safetensors"))[:EACH]
        results = {"originals": len(originals), "entries": len(library), "changes": round_trips(library, originals)}
        entries = {entry.name: entry for entry in library}
        loras = {name: library.read(entry) for name, entry in entries.items()}
    results["different LoRAs"] = false_alarms(loras)
    results["truncated copies"] = truncations(originals)
    write_json(HERE / "gauge.json", results)


def round_trips(library: Library, originals: list[Path]) -> dict[str, object]:
    """Return, for each change and file type, how often the original is found."""
    counts = {}
    for change, make in CHANGES.items():
        for format, dtype in (("kohya", torch.float32), ("diffusers", torch.float16), ("peft", torch.bfloat16)):
            nearest = same = 0
            least = 1.0
            for path in originals:
                folder = RUNS / "gauge" / "copy"
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                original = load(path)
                written = save(
                    make(original),
                    folder / ("copy" if format == "peft" else "copy.safetensors"),
                    format=format,
                    dtype=dtype,
                )
                copy = replace(load(written[0]), sha256="")  # equal bytes would be the entry itself
                hit = library.neighbours(copy, by="sketch", count=1)[0]
                value = cosine(original, copy)
                nearest += hit.entry.path == str(path.absolute())
                same += value >= SAME_COSINE
                least = min(least, value)
            name = f"{change}, {format} {str(dtype).removeprefix('torch.')}"
            counts[name] = {"nearest": nearest, "same weights": same, "least cosine": round(least, 7)}
            print(name, counts[name], flush=True)
    return counts


def false_alarms(loras: Mapping[str, LoRA | None]) -> dict[str, object]:
    """Return what the rules say of all pairs of different LoRAs, and their largest cosines."""
    held = {name: lora for name, lora in loras.items() if lora is not None}
    matrix = exact_cosines(list(held.values()))
    verdicts: Counter[str] = Counter()
    cosines = []
    for (i, first), (j, second) in combinations(enumerate(held), 2):
        cosines.append((float(matrix[i, j]), first, second))
        a, b = held[first], held[second]
        related = matrix[i, j] > 0.2  # no rule says anything below
        verdict = (judge_pair(measure_pair(a, b)) or judge_pair(measure_pair(b, a))) if related else None
        verdicts[verdict or "none"] += 1
    same = [value for value, a, b in cosines if a.split("_", 1)[1] == b.split("_", 1)[1]]
    return {
        "pairs": len(cosines),
        "verdicts": dict(verdicts),
        "largest": [(round(value, 4), a, b) for value, a, b in sorted(cosines, reverse=True)[:5]],
        "largest of one concept": round(max(same, default=0.0), 4),
        "bound of the rate of false alarms of 'same weights', 95 %": float(f"{3 / len(cosines):.2g}"),
        "threshold of versions": VERSION_COSINE,
    }


def truncations(originals: list[Path]) -> dict[str, dict[str, int]]:
    """Return what the rules say of truncated copies."""
    verdicts: dict[str, dict[str, int]] = {}
    for rank in (4, 2, 1):
        counts: Counter[str] = Counter()
        for path in originals:
            lora = load(path)
            small = truncate_lora(lora, rank=rank)[0]
            counts[judge_pair(measure_pair(lora, small)) or "none"] += 1
        verdicts[f"rank {rank}"] = dict(counts)
    return verdicts


if __name__ == "__main__":
    main()
