"""Memory and time of every shipped configuration of a full-size base, from the counts of `lorarar benchmark size`.

    python experiments/size/shipped_sizes.py > experiments/size/shipped_sizes.json

It reads the JSON files beside it, which run.sh makes, and the configurations. Nothing of it was measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from lorarar.benchmark.size import GPUS, SIZED_BASES, PassCount, PredictionCount, SizedDtype, Work, works_of

HERE = Path(__file__).parent
CONFIGS = HERE.parents[1] / "configs"
CUDA_BYTES = 2e9  # context and gaps of the allocator, at most
PASS = ("parameters", "lora_parameters", "columns", "operations", "saved", "checkpointed", "peak", "decoding")


def works(family: str, *, dtype: SizedDtype = "bf16", images: int = 1, loras: int = 1) -> dict[str, Work]:
    """Return the works of a base by name, from the report of its family."""
    report = json.loads((HERE / f"{family}.json").read_text(encoding="utf-8"))
    count = PassCount(**{name: report[name] for name in PASS})
    prediction = PredictionCount(**report["prediction"])
    of_base = works_of(SIZED_BASES[family], count, prediction, images=images, loras=loras, dtype=dtype)
    return {work.name: work for work in of_base}


def read(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    return config


def concepts(config: Mapping[str, Any]) -> int:
    """Return the number of LoRAs of a zoo."""
    splits = yaml.safe_load((CONFIGS.parent / config["splits"]).read_text(encoding="utf-8"))["splits"]
    return sum(len(names) for split in splits[config["split"]].values() for names in split.values())


def configured() -> Iterator[tuple[str, Work]]:
    """Yield each shipped configuration of a full-size base and its work, `count` of which is what a run takes."""
    for family in ("sd15", "koala", "sdxl", "sd3", "flux"):
        for kind in ("zoo", "training"):
            name = f"{'train' if kind == 'training' else kind}/{family}"
            config = read(name)
            yield name, _of_training(config, family, kind, concepts(config) if kind == "zoo" else 1)
    yield "dreambooth/sdxl", _of_training(read("dreambooth/sdxl"), "sdxl", "zoo", 1)
    kontext = read("analogies/kontext")
    rank = kontext["basis"]["count"] * kontext["basis"]["rank"]
    # Images of 512 pixels and the images that condition them take fewer tokens than one of 1024, which counts here.
    sized = works("flux", images=kontext["batch"], loras=rank // SIZED_BASES["flux"].rank)
    yield "analogies/kontext", replace(sized["zoo, checkpointing"], count=kontext["recipe"]["steps"])
    yield "benchmark/paper_sdxl", _of_benchmark(read("benchmark/paper_sdxl"))


def _of_training(config: Mapping[str, Any], family: str, kind: str, runs: int) -> Work:
    recipe = config["recipe"]
    loras = config.get("group", 1)
    images = loras * recipe["images"] if kind == "zoo" else config["pairs"] * config["images_per_step"]
    images = -(-images // config.get("accumulate", 1))
    sized = works(family, dtype=config["dtype"], images=images, loras=loras)
    work = sized[f"{kind}, checkpointing" if config["gradient_checkpointing"] else kind]
    bytes_ = work.offloaded if config.get("offload") else work.bytes
    return replace(work, bytes=bytes_, count=recipe["steps"] * -(-runs // loras))


def _of_benchmark(config: Mapping[str, Any]) -> Work:
    """Return ZipLoRA's step in float32, with the memory of what takes most and of the LoRAs that wait."""
    assert config["low_memory"], "images are sampled in one batch, which is not counted"
    sized = works("sdxl", dtype="fp32")
    step = sized["ZipLoRA, checkpointing"]
    most = max(step.offloaded, sized["generation"].offloaded, works("sdxl")["training, checkpointing"].bytes)
    split = yaml.safe_load((CONFIGS.parent / config["splits"]).read_text(encoding="utf-8"))["splits"][config["split"]]
    loras = sum(map(len, split["test"].values()))
    file = json.loads((HERE / "sdxl.json").read_text(encoding="utf-8"))["lora_parameters"] * 2
    return replace(step, bytes=most + loras * file)


def rows() -> list[dict[str, Any]]:
    """Return a row for each configuration: memory, the smallest card, seconds of a step, hours of a run."""
    found = []
    for name, work in configured():
        fitting = {gpu: limits for gpu, limits in GPUS.items() if work.bytes + CUDA_BYTES <= limits.memory}
        found.append(
            {
                "configuration": name,
                "dtype": work.dtype,
                "bytes": work.bytes,
                "fits": min((limits.memory for limits in fitting.values()), default=None),
                "steps": work.count,
                "seconds": {gpu: work.seconds(gpu) for gpu in fitting},
                "hours": {gpu: work.seconds(gpu) * work.count / 3600 for gpu in fitting},
                "origin": "computed",
            }
        )
    return found


if __name__ == "__main__":
    json.dump(rows(), sys.stdout, indent=1)
