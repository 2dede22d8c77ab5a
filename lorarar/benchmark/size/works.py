"""Works: memory and operations of each kind of work on a base, by arithmetic, and seconds on GPUs of known speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lorarar.benchmark.size.bases import SIZED_BASES, SizedBase
from lorarar.benchmark.size.counting import PassCount, count_pass
from lorarar.storage import unknown_name

# GPU -> operations in a second of dense bf16 products, by its maker's data sheet.
GPUS = {"RTX 4090, 24 GB": 165e12, "A100, 80 GB": 312e12, "H100, 80 GB": 989e12}
USED = 0.35  # assumed share of these
_BF16, _TRAINED = 2, 16  # bytes of a frozen weight; of a trained one: itself, gradient, two moments of AdamW in float32
_TEACHERS, _MERGED = 2, 2  # images that a training step shows the LoRAs alone, and the merged model: one per concept
_ZOO_STEPS, _TRAINING_STEPS, _PAIR_STEPS = 1000, 500, 100  # of the shipped configurations and of ZipLoRA


@dataclass(frozen=True)
class Work:
    """A kind of work on a base, one unit of it.

    Attributes:
        name: Its name for readers.
        unit: What is done `count` times in a whole piece of work.
        count: How often.
        bytes: Memory of the GPU with text encoders and autoencoder on it, without the context of CUDA and the gaps of
            the allocator, 1 to 2 GB.
        offloaded: The same with these on the CPU while they are not used.
        operations: Floating-point operations of one unit.
    """

    name: str
    unit: str
    count: int
    bytes: int
    offloaded: int
    operations: int

    def seconds(self, gpu: str) -> float:
        """Return the computed seconds of one unit on a GPU of `GPUS`."""
        return self.operations / (GPUS[gpu] * USED)


def size_report(family: str) -> dict[str, Any]:
    """Return parameters, memory, operations and computed seconds of the work on a base, as plain data.

    One image counts for a zoo step, one of each concept for a step of training and of pair optimisation, as in the
    shipped configurations for full-size bases, which compute in bf16.

    Args:
        family: A name in `SIZED_BASES`.

    Raises:
        ValueError: There is no base of this name.
    """
    if family not in SIZED_BASES:
        raise ValueError(unknown_name("a base", family, SIZED_BASES))
    base = SIZED_BASES[family]
    count = count_pass(base)
    works = [
        {**asdict(work), "seconds": {gpu: work.seconds(gpu) for gpu in GPUS}, "origin": "computed"}
        for work in works_of(base, count)
    ]
    return {
        "family": family,
        "label": base.label,
        "rank": base.rank,
        "encoders": base.encoders,
        "autoencoder": base.autoencoder,
        **asdict(count),
        "works": works,
    }


def works_of(base: SizedBase, count: PassCount) -> list[Work]:
    """Return the kinds of work on a base, from the count of a pass of one image.

    With F the operations of a pass, a step of a zoo takes 2 F, because the base is frozen and backward follows the
    activations alone, a step of training 6 F (two teachers, two merged passes and their backward), and with gradient
    checkpointing F more for each pass with a backward.
    """
    weights, others = count.parameters * _BF16, (base.encoders + base.autoencoder) * _BF16
    lora = count.lora_parameters
    # Two LoRAs in fp16, their merge in float32 with its gradient, and in the dtype of the base.
    pair = 2 * lora * (2 + 8 + _BF16)
    works = []
    for name, saved, again in (("", count.saved, 0), (", checkpointing", count.checkpointed, 1)):
        zoo = weights + saved + lora * _TRAINED
        training = weights + _MERGED * saved + pair
        passes = _TEACHERS + (2 + again) * _MERGED
        works += [
            Work(f"zoo{name}", "step", _ZOO_STEPS, zoo + others, zoo, (2 + again) * count.operations),
            Work(f"training{name}", "step", _TRAINING_STEPS, training + others, training, passes * count.operations),
            Work(f"ZipLoRA{name}", "step", _PAIR_STEPS, training + others, training, passes * count.operations),
        ]
    sampling = weights + 2 * lora * _BF16
    steps = base.steps * base.passes
    return [*works, Work("generation", "image", 1, sampling + others, sampling, steps * count.operations)]


def size_table(report: Mapping[str, Any]) -> str:
    """Return a report as a table for people."""
    heads = [f"s, {gpu}" for gpu in GPUS] + [f"hours in all, {gpu}" for gpu in GPUS]
    lines = [
        f"{report['label']}: {report['parameters'] / 1e6:,.1f} million parameters in the denoiser, "
        f"{report['encoders'] / 1e6:,.0f} in text encoders, {report['autoencoder'] / 1e6:,.0f} in the autoencoder; a "
        f"LoRA of rank {report['rank']} has {report['lora_parameters'] / 1e6:,.1f}. A pass of one image: "
        f"{report['operations'] / 1e12:.2f} TFLOP; saved for backward in bf16: {report['saved'] / 1e9:.2f} GB, with "
        f"checkpointing {report['checkpointed'] / 1e9:.2f} GB.",
        "",
        f"| work (all cells computed) | GB | GB, offloaded | TFLOP a unit | {' | '.join(heads)} |",
        f"|---|---|---|---|{'---|' * len(heads)}",
    ]
    for work in report["works"]:
        seconds = [work["seconds"][gpu] for gpu in GPUS]
        cells = [f"{second:.3g}" for second in seconds] + [f"{second * work['count'] / 3600:.2g}" for second in seconds]
        lines.append(
            f"| {work['name']}, {work['count']} x {work['unit']} | {work['bytes'] / 1e9:.1f} | "
            f"{work['offloaded'] / 1e9:.1f} | {work['operations'] / 1e12:.1f} | {' | '.join(cells)} |"
        )
    lines += ["", f"Seconds: {USED:.0%} of the products that a GPU's data sheet states are assumed, none was at hand."]
    return "\n".join(lines)
