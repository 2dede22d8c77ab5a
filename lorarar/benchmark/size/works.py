"""Works: memory and operations of each kind of work on a base, by arithmetic, and seconds on GPUs of known speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lorarar.benchmark.size.bases import SIZED_BASES, SizedBase
from lorarar.benchmark.size.counting import PassCount, PredictionCount, count_pass, count_prediction
from lorarar.storage import unknown_name

_BF16, _FP32, _TRAINED = 2, 4, 16  # bytes of a weight; of a trained one: itself, gradient, AdamW's moments in float32
_TEACHERS, _MERGED = 2, 2  # images that a training step shows the LoRAs alone, and the merged model: one per concept
_ZOO_STEPS, _TRAINING_STEPS, _PAIR_STEPS = 1000, 500, 100  # of the shipped configurations and of ZipLoRA


SizedDtype = Literal["bf16", "fp32"]


@dataclass(frozen=True)
class Gpu:
    """A GPU, by its maker's data sheet.

    Attributes:
        bf16, fp32: Operations in a second of dense products in these types.
        bandwidth: Bytes in a second to and from its memory.
        memory: Bytes of its memory.
    """

    bf16: float
    fp32: float
    bandwidth: float
    memory: float


GPUS = {
    "RTX 4090, 24 GB": Gpu(165e12, 82.6e12, 1.01e12, 24e9),
    "A100, 80 GB": Gpu(312e12, 19.5e12, 2.04e12, 80e9),
    "H100, 80 GB": Gpu(989e12, 67e12, 3.35e12, 80e9),
}
USED, USED_BANDWIDTH = 0.35, 0.7  # assumed shares of the operations and of the bandwidth


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
        moved: Bytes that one unit reads and writes at least.
        dtype: Type in which it computes.
    """

    name: str
    unit: str
    count: int
    bytes: int
    offloaded: int
    operations: int
    moved: int
    dtype: SizedDtype = "bf16"

    def seconds(self, gpu: str) -> float:
        """Return the computed seconds of one unit on a GPU of `GPUS`: those of its operations or of its bytes."""
        limits = GPUS[gpu]
        speed = limits.bf16 if self.dtype == "bf16" else limits.fp32
        return max(self.operations / (speed * USED), self.moved / (limits.bandwidth * USED_BANDWIDTH))


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
    count, prediction = count_pass(base), count_prediction(base)
    works = [
        {**asdict(work), "seconds": {gpu: work.seconds(gpu) for gpu in GPUS}, "origin": "computed"}
        for work in works_of(base, count, prediction)
    ]
    return {
        "family": family,
        "label": base.label,
        "rank": base.rank,
        "encoders": base.encoders,
        "autoencoder": base.autoencoder,
        **asdict(count),
        "prediction": asdict(prediction),
        "works": works,
    }


def works_of(
    base: SizedBase,
    count: PassCount,
    prediction: PredictionCount,
    *,
    images: int = 1,
    loras: int = 1,
    dtype: SizedDtype = "bf16",
) -> list[Work]:
    """Return the kinds of work on a base, from the count of a pass of one image.

    With F the operations of a pass, a step of a zoo takes 2 F an image, because the base is frozen and backward follows
    the activations alone, a step of training 6 F a pair (two teachers, two merged passes and their backward), and with
    gradient checkpointing F more for each pass with a backward. An image is sampled and decoded alone. Prediction and
    merge take no base.

    Args:
        base: The base.
        count: A pass of one image.
        prediction: A prediction by the network of its shipped configuration.
        images: Images of a zoo's step, of all LoRAs together; pairs of a step of training and of ZipLoRA.
        loras: LoRAs in a zoo's step.
        dtype: Type of the base.
    """
    width = _BF16 if dtype == "bf16" else _FP32
    weights, others = count.parameters * width, (base.encoders + base.autoencoder) * width
    lora = count.lora_parameters
    # Two LoRAs in fp16, their merge in float32 with its gradient, and in the dtype of the base.
    pair = 2 * lora * (2 + 8 + width)
    works = []
    for name, saved, again in (("", count.saved, 0), (", checkpointing", count.checkpointed, 1)):
        saved = saved * width // _BF16
        zoo = weights + images * saved + loras * lora * _TRAINED
        merged = weights + images * (_MERGED * saved + pair)
        training = merged + prediction.parameters * _TRAINED
        once = (2 + again) * images, ((2 + again) * _MERGED + _TEACHERS) * images
        for kind, steps, held, passes, reads in (
            ("zoo", _ZOO_STEPS, zoo, once[0], 2 + again),
            ("training", _TRAINING_STEPS, training, once[1], 3 + again),
            ("ZipLoRA", _PAIR_STEPS, merged, once[1], 3 + again),
        ):
            work = passes * count.operations, reads * weights
            works.append(Work(f"{kind}{name}", "step", steps, held + others, held, *work, dtype))
    sampling, passes = weights + 2 * lora * width, base.passes * count.peak * width // _BF16
    autoencoder, decoding = base.autoencoder * width, count.decoding * width // _BF16
    most = sampling + max(passes, decoding)
    work = base.steps * base.passes * count.operations, base.steps * weights
    works.append(Work("generation", "image", 1, most + others, most + autoencoder, *work, dtype))
    files = 2 * lora * _BF16
    coefficients = 2 * count.columns * _FP32
    scaled = 2 * base.rank * count.columns  # entries of both A, which become float32; B stays in fp16
    predicting = files + prediction.parameters * _FP32 + coefficients
    merging = 2 * files + coefficients + scaled * (_FP32 - _BF16)
    return [
        *works,
        Work("prediction", "pair", 1, predicting, predicting, prediction.operations, predicting, "fp32"),
        Work("merge", "pair", 1, merging, merging, scaled, merging, "fp32"),
    ]


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
            f"| {work['name']}, {work['count']} x {work['unit']} | {work['bytes'] / 1e9:.3g} | "
            f"{work['offloaded'] / 1e9:.3g} | {work['operations'] / 1e12:.3g} | {' | '.join(cells)} |"
        )
    lines += [
        "",
        f"Seconds: {USED:.0%} of the products and {USED_BANDWIDTH:.0%} of the bandwidth that a GPU's data sheet states "
        "are assumed, none was at hand. Prediction and merge also wait for their kernels to start: not counted.",
    ]
    return "\n".join(lines)
