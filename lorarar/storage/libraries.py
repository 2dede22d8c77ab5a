"""Libraries: their notices are off, a missing one is an error with a remedy, and what to try when memory runs out."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Collection

# Read by a library when it is imported. A value that the user has set stays.
_QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # transformers asks for it too: "Loading weights"
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "DIFFUSERS_VERBOSITY": "error",
    "DIFFUSERS_NO_ADVISORY_WARNINGS": "1",
    "WANDB_SILENT": "true",
}
# Lightning's loggers of devices, tips, "max_steps reached", and of the processes of a run.
_INFORMING = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.distributed")
# Start of a warning, its category and why the reader can do nothing about it.
_FILTERED = (
    # lightning 2.6 on torch 2.13: its loaders ask isinstance(.., LeafSpec), which torch has deprecated
    (r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning),
    # diffusers 0.42 on numpy 2: EulerDiscreteScheduler makes an array of a tensor
    (r"__array__ implementation doesn't accept a copy keyword", DeprecationWarning),
    # diffusers 0.42 on huggingface_hub 2: every download names an argument that is gone
    (r"The `local_dir_use_symlinks` argument is deprecated", UserWarning),
)
# Settings that take less memory, with a value to try.
_MEMORY_SETTINGS = {
    "dtype": 'a shorter type, `dtype="bf16"`',
    "gradient_checkpointing": "`gradient_checkpointing=True`",
    "group": "a smaller `group`",
    "pairs": "fewer `pairs`",
    "images_per_step": "fewer `images_per_step`",
    "batch": "a smaller `batch`",
    "seeds": "fewer `seeds`",
    "device": '`device="cpu"`',
}


class MissingPackage(ImportError):  # noqa: N818  # named as the user sees it
    """A package that a piece of work needs is not installed; the message says how to get it.

    Args:
        package: Name of the package.
        extra: The extra of lorarar that installs it; "" where none does.
        purpose: The work that needs it, such as "the web page".
        remedy: How to get it; by default by pip.
    """

    def __init__(self, package: str, extra: str, purpose: str, remedy: str = "") -> None:
        self.package, self.extra = package, extra
        remedy = remedy or (f"pip install 'lorarar[{extra}]'" if extra else f"pip install {package}")
        super().__init__(f"expected the package {package} for {purpose}, found none: {remedy}", name=package)


def quiet_libraries() -> None:
    """Turn off the bars and notices of transformers, diffusers, huggingface_hub and Lightning, without importing them.

    Errors stay, and so do variables that the user has set, such as TRANSFORMERS_VERBOSITY. Call it before the libraries
    are imported where possible, and again where models are loaded: in those that are imported already, it calls their
    own functions.
    """
    chosen = {name for name, value in _QUIET.items() if os.environ.setdefault(name, value) != value}
    for name in ("transformers", "diffusers"):
        library = sys.modules.get(name)
        own = getattr(getattr(library, "utils", None), "logging", None)
        if own and f"{name.upper()}_VERBOSITY" not in chosen:
            own.set_verbosity_error()
        if own and "HF_HUB_DISABLE_PROGRESS_BARS" not in chosen:
            own.disable_progress_bar()
    for name in _INFORMING:
        logging.getLogger(name).setLevel(logging.WARNING)
    if not any(action == "error" for action, *_ in warnings.filters):  # tests see every warning
        for start, category in _FILTERED:
            warnings.filterwarnings("ignore", start, category)


def memory_advice(settings: Collection[str] = tuple(_MEMORY_SETTINGS)) -> str:
    """Return what to try when memory runs out.

    Args:
        settings: Names of the settings that the failed work has; all that can save memory by default.
    """
    tries = [text for name, text in _MEMORY_SETTINGS.items() if name in settings]
    return "try " + ", or ".join(tries) if tries else "close other programs, or use a machine with more memory"
