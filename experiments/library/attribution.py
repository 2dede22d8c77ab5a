"""Attribution of 200 synthetic merges among 1,000 files, by each low-rank merger.

    python experiments/library/attribution.py

The files are those of the collection, of the shipped zoo, and chimeras of them (every layer from another LoRA), which
are hard to tell from real inputs. Each merge has two to five inputs of weights .3 to 1.2. Half of the merges
("development") chose the rules of lorarar.library.attribution; the numbers are of the other half.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from collection import HERE, LORAS, SHIPPED, collection, shipped

from lorarar import load, save
from lorarar.library import Library
from lorarar.lora import LoRA, LowRank, concat, truncate_lora
from lorarar.mergers import MERGERS, MergeRequest, combine
from lorarar.storage import json_line, write_json

RUNS, FILES, MERGES = Path("runs/library"), 1000, 200
ROWS = RUNS / "attribution.jsonl"
ROUNDING = 0.001  # of weights, by half precision; an interval may be shorter


def main() -> None:
    """Write chimeras, index all files, attribute merges."""
    torch.set_num_threads(1)
    inputs = [
        replace(m.lora, name=f"{m.way}{m.copy}_{m.concept}")
        for k in ("style", "content")
        for m in collection(k)
        if m.way != "shipped"
    ]
    inputs += shipped()
    low_rank = [lora for lora in inputs if all(isinstance(layer, LowRank) for layer in lora.layers.values())]
    write_chimeras(low_rank, FILES - len(inputs))
    done = {row["number"] for row in json_lines(ROWS)}
    with Library(RUNS / "attribution.sqlite") as library:
        print(library.add([LORAS, SHIPPED, RUNS / "chimeras"]).text(), flush=True)
        library.read = cache(library.read)  # type: ignore[method-assign]  # the same files again and again
        ways = mergers()
        names = list(ways)
        for number in sorted(set(range(MERGES)) - done, key=lambda n: (n % 2 == 0, n)):  # the test half first
            random = np.random.default_rng(number)
            name = names[number // 2 % len(names)]
            count = 2 if "peft linear" in name or "network" in name else int(random.integers(2, 6))
            chosen = [low_rank[i] for i in random.permutation(len(low_rank))[:count]]
            weights = random.uniform(0.3, 1.2, count).round(2).tolist()
            row: dict[str, object] = {"number": number, "merger": name, "half": "test" if number % 2 else "development"}
            try:
                merged = replace(ways[name](chosen, weights), name="merged")
            except ValueError as error:
                row["refused"] = str(error)
            else:
                true = [weight / count for weight in weights] if name == "average" else weights
                row |= score(library, merged, chosen, true)
            with open(ROWS, "a", encoding="utf-8") as file:
                file.write(json_line(row))
            print(row, flush=True)
        files, trained = len(library), attribute_trained(library)
    by_merger: dict[str, dict[str, list[dict[str, object]]]] = {}
    for row in json_lines(ROWS):
        if "refused" not in row:
            by_merger.setdefault(str(row["merger"]), defaultdict(list))[str(row["half"])].append(row)
    summaries = {name: summarise(halves) for name, halves in by_merger.items()}
    all_rows = [row for row in json_lines(ROWS) if "refused" not in row and row["half"] == "test"]
    total = summarise({"test": all_rows})["test"]
    write_json(
        HERE / "attribution.json",
        {
            "files": files,
            "merges": len(json_lines(ROWS)),
            "all": total,
            "called a sum": summarise({"test": [row for row in all_rows if row["called a sum"]]})["test"],
            "not called a sum": summarise({"test": [row for row in all_rows if not row["called a sum"]]})["test"],
            "trained, not merged": trained,
            "mergers": summaries,
        },
    )


def attribute_trained(library: Library) -> dict[str, float]:
    """Return what attribution says of LoRAs that were trained, of whose style the library has others."""
    found = [library.attribute(path) for path in sorted(LORAS.glob("own1_*_style_*.safetensors"))]
    residuals = [result.residual for result in found]
    return {
        "loras": len(found),
        "least residual": round(min(residuals), 3),
        "median residual": round(float(np.median(residuals)), 3),
        "inputs named in the median": float(np.median([len(result.shares) for result in found])),
    }


def json_lines(path: Path) -> list[dict[str, object]]:
    """Return the rows that earlier runs have written."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def write_chimeras(loras: Sequence[LoRA], count: int) -> None:
    """Write LoRAs whose layers are from different LoRAs."""
    folder, layers = RUNS / "chimeras", list(loras[0].layers)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"chimera_{number:03d}.safetensors"
        if not path.exists():
            picks = np.random.default_rng((1, number)).integers(len(loras), size=len(layers))
            mixed = {layer: loras[pick].layers[layer] for layer, pick in zip(layers, picks, strict=True)}
            save(LoRA(mixed), path, dtype=torch.float16)


Way = Callable[[Sequence[LoRA], Sequence[float]], LoRA]


def mergers() -> Mapping[str, Way]:
    """Return our closed-form mergers and those of other tools, by name."""
    ours = [n for n, m in MERGERS.own().items() if m.kind in ("coefficients", "delta") and not (m.pair or m.learned)]
    ways: dict[str, Way] = {name: by(MergeRequest(merger=name)) for name in ours}
    ways["network (default)"] = by(MergeRequest())
    ways["kohya: sum, then SVD to rank 16"] = lambda loras, weights: truncate_lora(summed(loras, weights), rank=16)[0]
    ways["peft cat, as fp16 file"] = lambda loras, weights: from_file(summed(loras, weights))
    ways["peft linear (factor-wise)"] = factor_wise
    return ways


def by(request: MergeRequest) -> Way:
    """Return a merge by our own code."""
    return lambda loras, weights: combine(loras, replace(request, weights=weights, allow_extrapolation=True)).lora


def summed(loras: Sequence[LoRA], weights: Sequence[float]) -> LoRA:
    """Return the weighted sum by concatenation of the factors, as peft's "cat" and kohya's "concat"."""
    return LoRA(
        {
            path: concat(
                [
                    replace(lora.layers[path], scale=lora.layers[path].scale * w)
                    for lora, w in zip(loras, weights, strict=True)
                ]
            )  # type: ignore[type-var, union-attr]
            for path in loras[0].layers
        },
        family=loras[0].family,
    )


def from_file(lora: LoRA) -> LoRA:
    """Return a LoRA as it is read back from an fp16 file."""
    save(lora, RUNS / "merged.safetensors", dtype=torch.float16, force=True)
    return replace(load(RUNS / "merged.safetensors"), sha256="")


def factor_wise(loras: Sequence[LoRA], weights: Sequence[float]) -> LoRA:
    """Return the sums of A and of B with the roots of the weights, as peft's "linear"; for equal ranks."""
    layers = {}
    for path in loras[0].layers:
        factors = [lora.layers[path] for lora in loras]
        if len({f.rank for f in factors}) > 1:  # type: ignore[union-attr]
            raise ValueError("ranks differ")
        roots = [(w * f.scale) ** 0.5 for w, f in zip(weights, factors, strict=True)]  # type: ignore[union-attr]
        up, down = (sum(r * getattr(f, side).float() for r, f in zip(roots, factors, strict=True)) for side in "BA")
        layers[path] = LowRank(up, down)  # type: ignore[arg-type]
    return LoRA(layers, family=loras[0].family)


def score(library: Library, merged: LoRA, chosen: Sequence[LoRA], weights: Sequence[float]) -> dict[str, object]:
    """Return hits, misses, false inputs, errors of the weights and the residual."""
    found = library.attribute(merged)
    shares = {Path(share.name).stem: share for share in found.shares}
    true = {Path(lora.name).stem: weight for lora, weight in zip(chosen, weights, strict=True)}
    hits = [name for name in shares if name in true]
    return {
        "inputs": len(true),
        "found": len(shares),
        "hits": len(hits),
        "errors": [round(abs(shares[name].weight - true[name]), 4) for name in hits],
        "inside interval": [shares[n].low - ROUNDING <= true[n] <= shares[n].high + ROUNDING for n in hits],
        "called a sum": found.is_sum,
        "residual": round(found.residual, 4),
    }


def summarise(rows: Mapping[str, Sequence[Mapping[str, object]]]) -> dict[str, object]:
    """Return precision, recall, the median error of the weights and the median residual of the test half."""
    summary: dict[str, object] = {}
    for half, some in rows.items():
        total = {key: sum(int(row[key]) for row in some) for key in ("inputs", "found", "hits")}  # type: ignore[call-overload]
        errors = [error for row in some for error in row["errors"]]  # type: ignore[attr-defined]
        inside = [value for row in some for value in row["inside interval"]]  # type: ignore[attr-defined]
        summary[half] = {
            "merges": len(some),
            "precision": round(total["hits"] / max(total["found"], 1), 3),
            "recall": round(total["hits"] / total["inputs"], 3),
            "median error of a weight": round(float(np.median(errors)), 4) if errors else None,
            "true weight inside the interval": round(float(np.mean(inside)), 3) if inside else None,
            "median residual": round(float(np.median([row["residual"] for row in some])), 4),
            "called a sum": sum(bool(row["called a sum"]) for row in some),
        }
    return summary


if __name__ == "__main__":
    main()
