"""What the two checkouts are asked to do: command lines in the new spelling, and the files to compare.

Every path is relative to a working directory that holds the checkout's own `data` and `configs`, configurations, and
`shared`, which both checkouts read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from inputs import (
    BASE,
    CLASSIFIER,
    CONSTANTS,
    CONTENT,
    EMBEDDED,
    NETWORK,
    PAPER_NETWORK,
    PROMPT,
    SAMPLING,
    STYLE,
    THIRD,
    few_steps,
)

FILES_ONLY = (
    *("direct", "average", "peft_linear", "ties", "dare", "dare_ties", "magnitude_prune", "della", "della_linear"),
    *("breadcrumbs", "breadcrumbs_ties", "svd", "knots", "knots_dare", "np_lora"),
)
WHILE_SAMPLING = {"klora": (), "klora_wrapped": (), "switch": ("--option", "tau=1"), "composite": ()}
FORMATS = ("kohya", "diffusers", "peft")
MERGE_OPTIONS = (
    ("--dtype", "fp16"),
    ("--rank", "4"),
    ("--energy", "0.9"),
    ("--weights", "0.7", "1.2"),
    ("--block", "up_blocks.1=0.5,0.8"),
    ("--format", "kohya"),
    ("--format", "peft"),
    ("--dtype", "fp32"),
    ("--dtype", "bf16"),
    ("--save-coefficients", "out/coefficients.safetensors"),
    ("--merger", "svd", "--option", "rank=3"),
    ("--merger", "ties", "--option", "density=0.3", "--rank", "8"),
    ("--merger", "dare", "--option", "seed=3", "--energy", "0.9"),
)
LAYOUT = "{method}/{content}+{style}/{seed}.png"
_PAIR = (CONTENT, STYLE)
_WHOLE = ("--format", "kohya", "--dtype", "fp32")  # kohya's layout holds dense layers too


@dataclass(frozen=True)
class Case:
    """One row of the comparison.

    Attributes:
        what: what is compared, for people.
        commands: command lines without the leading `lorarar`.
        outputs: patterns of files that must be equal.
        unnamed: patterns of JSON files whose names are hashes.
        may_fail: whether a command may end with another code than 0, the same on both sides.
    """

    what: str
    commands: tuple[tuple[str, ...], ...]
    outputs: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    may_fail: bool = False


def merges(_: Path) -> list[Case]:
    """Every merger that needs only files, and every option of `merge` that changes the result."""
    triple, encoders = (*_PAIR, THIRD), ("shared/corpus/00/x.safetensors",) * 2
    asked: dict[str, tuple[str, ...]] = {
        **{name: (*_PAIR, "--merger", name, *_WHOLE) for name in FILES_ONLY},
        **{" ".join(("with", *words)): (*_PAIR, *words) for words in MERGE_OPTIONS},
        "network of ours": (*_PAIR, "--hypernetwork", NETWORK),
        "network of the paper": (*_PAIR, "--hypernetwork", PAPER_NETWORK),
        "constants": (*_PAIR, "--hypernetwork", CONSTANTS),
        "three files, direct": (*triple, "--merger", "direct", *_WHOLE),
        "three files, ties": (*triple, "--merger", "ties", *_WHOLE),
        "three files, their kinds": (*triple, "--hypernetwork", NETWORK, "--kinds", "content", "style", "content"),
        "weights of text encoders": (*encoders, "--merger", "direct", "--text-encoder", "0.5", "0.7"),
    }
    return [_merge(f"m{i}", what, words) for i, (what, words) in enumerate(asked.items())]


def pairs(_: Path) -> list[Case]:
    """Mergers that optimise each pair on the base, two steps of them."""
    few = (*_PAIR, "--base", BASE, "--option", "steps=2")
    images = [f"{EMBEDDED}/images/{Path(file).stem}" for file in _PAIR]
    seen = (*few, "--content-images", images[0], "--style-images", images[1])
    described = (*few, "--content-description", "a cyan fish", "--style-description", "light yellow grid style")
    asked: dict[str, tuple[str, ...]] = {
        **{name: (*seen, "--merger", name) for name in ("ziplora", "ziplora_pytorch", "cat")},
        "ziplora from the network": (*seen, "--merger", "ziplora", "--init", NETWORK),
        "text_guided": (*described, "--merger", "text_guided"),
        "text_guided from the network": (*described, "--merger", "text_guided", "--init", NETWORK),
    }
    return [_merge(f"p{i}", what, words) for i, (what, words) in enumerate(asked.items())]


def dialects(shared: Path) -> list[Case]:
    """Every file of the corpus, inspected and converted; one LoRA through all dialects; two LoRAs compared."""
    cases = [_corpus_case(place) for place in sorted((shared / "corpus").iterdir())]
    chain = [CONTENT, "out/chain_kohya.safetensors", "out/chain_peft/adapter_model.safetensors"]
    through = tuple(
        _convert(file, "out/chain", form) for file, form in zip(chain, ("kohya", "peft", "diffusers"), strict=True)
    )
    smaller = ("convert", CONTENT, "-o", "out/chain_rank_4.safetensors", "--rank", "4")
    cases.append(Case("one LoRA through all dialects", (*through, smaller), ("out/chain*", "out/chain*/*")))
    cases.append(Case("two LoRAs compared", (("inspect", CONTENT, "--compare", STYLE, "--json"),)))
    cases.append(Case("LoRA of the zoo inspected", (("inspect", CONTENT, "--json"),)))
    return cases


def generation(_: Path) -> list[Case]:
    """Images of the base, of one LoRA, and of the mergers that act while sampling."""
    asked: dict[str, tuple[str, ...]] = {"base": (), "one LoRA": ("--lora", CONTENT)}
    asked |= {name: ("--lora", *_PAIR, "--merger", name, *words) for name, words in WHILE_SAMPLING.items()}
    fixed = ("generate", "--base", BASE, "--prompt", PROMPT, *SAMPLING)
    return [
        Case(f"images, {what}", ((*fixed, *words, "-o", f"out/{i}"),), (f"out/{i}/*",))
        for i, (what, words) in enumerate(asked.items())
    ]


def training(_: Path) -> list[Case]:
    """Two steps of every learned merger, with every term of the objective."""
    scored = f"classifier={CLASSIFIER}"
    asked: dict[str, tuple[str, ...]] = {
        "layerwise": ("embedded", scored),
        "paper": ("embedded_paper",),
        "constant": ("embedded_constant", scored),
        "paper, distillation": (
            "embedded_paper",
            "loss_weights.distillation=1.0",
            "weight_jitter=0.5",
            "recipe.clip=0.01",
        ),
        "layerwise from the network": ("embedded", f"init={NETWORK}", "seed=1"),
    }
    cases = []
    for i, (what, (config, *words)) in enumerate(asked.items()):
        command = ("train", f"configs/train/{config}.yaml", *words, *few_steps(), "wandb=disabled", f"runs=out/{i}")
        cases.append(Case(f"train {what}", (command,), (f"out/{i}/merger.safetensors",)))
    return cases


def zoos(_: Path) -> list[Case]:
    """Two LoRAs in one batch, one of them alone with peft, and synthetic images of a concept."""
    config = "configs/zoo/embedded.yaml"
    fixed = (config, "splits=splits.yaml", "split=two", "recipe.steps=4", "recipe.images=2", "recipe.clip=0.01")
    zoo = ("zoo", *fixed, "output=out/zoo", "runs=out/zoo_runs")
    alone = ("dreambooth", *fixed, "concept=train_content_00", "output=out/alone", "runs=out/alone_runs")
    synthetic = ("synthesise", config, "manifests=[synthetic.yaml]", "images=out/images")
    return [
        Case("zoo of two", (zoo,), ("out/zoo/*",)),
        Case("dreambooth", (alone,), ("out/alone/*",)),
        Case("synthesise", (synthetic,), ("out/images/**/*.png",)),
    ]


def judging(_: Path) -> list[Case]:
    """The embedded judge on sixteen images, in both orders, with repeats and perturbations."""
    named = ("--layout", LAYOUT, "--references", f"{EMBEDDED}/concepts.yaml", "--splits", "embedded")
    asked = ("--cases", "4", "--swapped", "--repeats", "2", "--perturbations", "2")
    steps: tuple[tuple[str, ...], ...] = (
        ("plan", "shared/images", *named, *asked, "-o", "out/run"),
        ("run", "out/run", "--backend", "tiny", "--uncalibrated"),
        ("report", "out/run", "--uncalibrated"),
    )
    files = ("results.json", "calibration.json", "verdicts.jsonl", "manifest.jsonl")
    outputs = tuple(f"out/run/{file}" for file in files)
    return [Case("judge", tuple(("judge", *step) for step in steps), outputs)]


def metrics(_: Path) -> list[Case]:
    """The embedded metrics of the same images."""
    command = ("metrics", "configs/metrics/embedded.yaml", "images=shared/images", "output=out", "cache=out/cache")
    return [Case("metrics", (command,), ("out/metrics.json",))]


def benchmark(_: Path) -> list[Case]:
    """A benchmark of nine pairs, with a row of each kind: results, images, and the scores of each cell."""
    outputs = ("out/results/results.json", "out/runs/images/**/*.png")
    command = ("benchmark", "quality", "quality.yaml")
    return [Case("benchmark quality", (command,), outputs, ("out/runs/cells/*/*.json",))]


PARTS: Mapping[str, Callable[[Path], list[Case]]] = {
    "merge": merges,
    "pair": pairs,
    "dialects": dialects,
    "generate": generation,
    "train": training,
    "zoo": zoos,
    "judge": judging,
    "metrics": metrics,
    "quality": benchmark,
}


def _merge(name: str, what: str, words: tuple[str, ...]) -> Case:
    output = f"out/{name}" if "peft" in words else f"out/{name}.safetensors"  # peft's output is a folder
    outputs = [output, f"{output}/*", *(word for word in words if word.startswith("out/"))]
    return Case(f"merge {what}", (("merge", *words, "-o", output, "--json"),), tuple(outputs))


def _corpus_case(place: Path) -> Case:
    number, name = place.name, (place / "name.txt").read_text(encoding="utf-8")
    file, stem = f"shared/corpus/{number}/x.safetensors", f"out/{number}"
    base = ("--base", f"shared/corpus/{number}/base") if (place / "base").is_dir() else ()
    converted = tuple(_convert(file, stem, form, *base) for form in FORMATS)
    commands = (("inspect", file, "--json", *base), *converted)
    return Case(f"corpus: {name}", commands, (f"{stem}_*", f"{stem}_*/*"), may_fail=True)


def _convert(file: str, stem: str, form: str, *words: str) -> tuple[str, ...]:
    output = f"{stem}_{form}" if form == "peft" else f"{stem}_{form}.safetensors"
    return ("convert", file, "-o", output, "--format", form, "--dtype", "fp32", *words)
