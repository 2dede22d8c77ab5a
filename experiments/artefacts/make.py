"""Make data/embedded, data/wild and the shipped networks from nothing. Steps resume; times are kept.

    make artefacts        (or: python experiments/artefacts/make.py)

To make all of it again, delete data/embedded, lorarar/hypernetwork/networks, lorarar/evaluation/judge/embedded and
lorarar/evaluation/judge/describer with their cards, and runs first.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from lorarar.storage import EMBEDDED_DESCRIBER, EMBEDDED_JUDGE, NETWORKS, card_path

TIMES = Path("experiments/artefacts/results.json")
DATA = Path("data/embedded")
WORLD = ["configs/world/embedded.yaml", f"output={DATA}"]
STEPS: list[tuple[str, list[str], Path]] = [
    ("concepts", ["world", "concepts", *WORLD], DATA / "concepts.yaml"),
    ("classifier", ["world", "classifier", *WORLD], DATA / "classifier.card.json"),
    ("autoencoder", ["world", "autoencoder", *WORLD], DATA / "base.card.json"),  # a part of the base
    ("base", ["world", "base", *WORLD], DATA / "base.card.json"),
    (
        "zoo",
        ["zoo", "configs/zoo/embedded.yaml", f"output={DATA / 'loras'}"],
        DATA / "loras" / "test_style_07.card.json",
    ),
    (
        "judge",
        ["judge", "train-tiny", "configs/judge/tiny.yaml", f"output={EMBEDDED_JUDGE}"],
        card_path(EMBEDDED_JUDGE),
    ),
    (
        "describer",
        ["judge", "train-describer", "configs/judge/describer.yaml", f"output={EMBEDDED_DESCRIBER}"],
        card_path(EMBEDDED_DESCRIBER),
    ),
]
PAPERS_OBJECTIVE = [
    "loss_weights.fidelity=1.0",
    "loss_weights.combined=0.0",
    "monitor=validation/loss",
    "mode=min",
    "classifier=null",
]
MERGERS: dict[str, list[str]] = {
    "hypernetwork": ["configs/train/embedded.yaml"],
    "hypernetwork_paper": ["configs/train/embedded_paper.yaml"],
    "constant": [
        "configs/train/embedded_constant.yaml",
        "options.group=layer",
        "options.predicted=[to_q, to_k, to_v, to_out]",
        *PAPERS_OBJECTIVE,
    ],
}
DEFAULT = "hypernetwork"


def main() -> None:
    for name, arguments, card in STEPS:
        if card.exists():
            print(f"{name}: done before ({card})")
            continue
        run(name, arguments)
    for name, arguments in MERGERS.items():
        target = NETWORKS / f"{name}.safetensors"
        if target.with_name(f"{name}.card.json").exists():
            print(f"{name}: done before ({target})")
            continue
        run(name, ["train", *arguments])
        ship(name, arguments, target)
    run("zoo in the wild", ["zoo", "configs/zoo/wild.yaml"])  # it skips what is there
    run("demo", ["demo"])
    (DATA / "contact_sheet.png").write_bytes(Path("runs/demo/contact_sheet.png").read_bytes())


def run(name: str, arguments: list[str]) -> None:
    """Run one command and add its seconds to the record; a resumed step adds what it ran."""
    print(f"== {name}: lorarar {' '.join(arguments)}", flush=True)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "lorarar.cli", *arguments], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    seconds = time.perf_counter() - start
    record = json.loads(TIMES.read_text()) if TIMES.exists() else {"steps": {}}
    entry = record["steps"].setdefault(name, {"seconds": 0.0})
    entry["seconds"] = round(entry["seconds"] + seconds, 1)
    entry["date"] = datetime.date.today().isoformat()
    record["hardware"] = f"{platform.machine()} CPU, {os.cpu_count()} cores"
    TIMES.write_text(json.dumps(record, indent=1) + "\n")


def ship(name: str, arguments: list[str], target: Path) -> None:
    """Copy a trained merger to the package, with a card."""
    from lorarar.hypernetwork import load_network
    from lorarar.storage import atomic_write, load_config, write_card
    from lorarar.workflows import TrainConfig

    source = load_config(TrainConfig, Path(arguments[0]), arguments[1:]).runs / "merger.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target, force=True) as temporary:
        temporary.write_bytes(source.read_bytes())
    facts = {"what": f"merger {name!r} of the embedded default", "config": arguments, **load_network(source).metadata}
    if name == DEFAULT:
        facts["default_for"] = "embedded"  # `lorarar merge` takes it for LoRAs of that family
    write_card(target, **facts)


if __name__ == "__main__":
    main()
