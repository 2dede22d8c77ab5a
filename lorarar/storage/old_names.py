"""Old names: one table of what was renamed, for files that earlier versions wrote.

Network headers and run folders are read through it. In configurations, which people write, an old name is refused, and
the message gives the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Kinds of learned mergers and names of methods.
RENAMED_MERGERS = {"invariant": "layerwise", "words": "text_guided"}
# Values of renamed keys: Lightning's and torch's names of types.
RENAMED_DTYPES = {
    "32-true": "fp32",
    "bf16-mixed": "bf16",
    "16-mixed": "fp16",
    "fp16-mixed": "fp16",
    "float32": "fp32",
    "bfloat16": "bf16",
    "float16": "fp16",
}
# Commands and options of the command line.
RENAMED_COMMANDS = {"imagine": "synthesise", "toyworld": "world"}
RENAMED_OPTIONS = {
    "--start": "--init",
    "--nuisances": "--perturbations",
    "--hypernetwork": "--network",
    "--seed": "--seeds",
}
# Commands that are scripts of experiments/metrics now.
_MOVED_STEPS = {"validate": "validate_encoder.py", "effects": "effects.py"}

# Class of a configuration, or kind of file -> old key -> new key; dots lead into nested keys.
RENAMED_KEYS: Mapping[str, Mapping[str, str]] = {
    "ZooConfig": {"precision": "dtype"},
    "TrainConfig": {
        "start": "init",
        "spread": "weight_jitter",
        "imagined": "synthetic_pairs",
        "reader": "classifier",
        "weights": "loss_weights",
        "weights.described": "loss_weights.distillation",
        "loss_weights.described": "loss_weights.distillation",
        "precision": "dtype",
    },
    "QualityConfig": {"reader": "classifier"},
    "WorldConfig": {"reader": "classifier"},
    "PairSettings": {"told": "true_descriptions", "start": "init"},
    "JudgePlan": {"nuisances": "perturbations"},
}


def renamed_settings(settings: Mapping[str, Any], config: str) -> dict[str, Any]:
    """Return settings that an earlier version kept, under today's names.

    Args:
        settings: Plain data, one level or nested.
        config: The class of the configuration, a key of `RENAMED_KEYS`; others have no old names.
    """
    names = RENAMED_KEYS.get(config, {})
    renamed: dict[str, Any] = {}
    for key, value in settings.items():
        nested = {old.partition(".")[2]: new for old, new in names.items() if old.startswith(f"{key}.")}
        if isinstance(value, Mapping) and nested:
            value = {nested.get(inner, f".{inner}").rpartition(".")[2]: entry for inner, entry in value.items()}
        if key == "merger":
            value = RENAMED_MERGERS.get(value, value)
        if key == "precision":
            value = RENAMED_DTYPES.get(value, value)
        renamed[names.get(key, key)] = value
    return renamed


def find_old_names(settings: Mapping[str, Any], config: str) -> Iterator[tuple[str, str]]:
    """Yield every old name in settings that a user wrote, with its new one; keys are dotted.

    Args:
        settings: Plain data, one level or nested.
        config: The class of the configuration, a key of `RENAMED_KEYS`; others have no old names.
    """
    for old, new in RENAMED_KEYS.get(config, {}).items():
        outer, _, inner = old.partition(".")
        if outer in settings and (not inner or (isinstance(settings[outer], Mapping) and inner in settings[outer])):
            value = settings.get(old)
            dtype = RENAMED_DTYPES.get(value) if isinstance(value, str) else None
            yield (f"{old}={value}", f"{new}={dtype}") if dtype else (old, new)
    merger = settings.get("merger")
    if merger in RENAMED_MERGERS:
        yield f"merger={merger}", f"merger={RENAMED_MERGERS[merger]}"


def old_arguments(argv: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield every old name of a command, an option or a merger on a command line, with its new name."""
    if argv and argv[0] in RENAMED_COMMANDS:
        yield argv[0], RENAMED_COMMANDS[argv[0]]
    if len(argv) > 1 and argv[0] == "metrics" and argv[1] in _MOVED_STEPS:
        yield f"metrics {argv[1]}", f"python experiments/metrics/{_MOVED_STEPS[argv[1]]}"
    for argument, following in zip(argv, [*argv[1:], ""], strict=False):
        option, _, value = argument.partition("=")
        if option in RENAMED_OPTIONS:
            yield option, RENAMED_OPTIONS[option]
        merger = value or following
        if option == "--merger" and merger in RENAMED_MERGERS:
            yield f"--merger {merger}", f"--merger {RENAMED_MERGERS[merger]}"
        if option == "--dtype" and merger in RENAMED_DTYPES:
            yield f"--dtype {merger}", f"--dtype {RENAMED_DTYPES[merger]}"
