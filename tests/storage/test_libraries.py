"""lorarar.storage.libraries: notices off, errors and the user's own choice kept; a missing package has a remedy."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator

import diffusers
import pytest
import transformers

from lorarar.storage import MissingPackage, memory_advice, quiet_libraries

LIBRARIES = [transformers.utils.logging, diffusers.utils.logging]


@pytest.fixture
def loud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Libraries as they are by default; the present state returns after the test."""
    for name in [name for name in os.environ if name.startswith(("HF_HUB_DISABLE", "TRANSFORMERS_", "DIFFUSERS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_SILENT", "true")
    for library in LIBRARIES:
        with warnings.catch_warnings():
            # huggingface_hub warns where an earlier test imported it with the variable set, which then has priority.
            warnings.filterwarnings("ignore", "Cannot enable progress bars", UserWarning)
            library.enable_progress_bar()
        library.set_verbosity_info()
    yield
    for library in LIBRARIES:
        library.disable_progress_bar()
        library.set_verbosity_error()


@pytest.mark.usefixtures("loud")
def test_bars_and_notices_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    monkeypatch.setattr(logger, "level", logging.INFO)
    quiet_libraries()
    assert not any(library.is_progress_bar_enabled() for library in LIBRARIES)
    assert {library.get_verbosity() for library in LIBRARIES} == {logging.ERROR}
    assert logger.level == logging.WARNING
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        monkeypatch.setenv(name, os.environ[name])  # removed after the test


@pytest.mark.usefixtures("loud")
def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "info")
    quiet_libraries()
    assert os.environ["TRANSFORMERS_VERBOSITY"] == "info"
    assert [library.get_verbosity() for library in LIBRARIES] == [logging.INFO, logging.ERROR]
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("DIFFUSERS_VERBOSITY", "error")
    quiet_libraries()


def test_no_library_is_imported() -> None:
    code = (
        "import sys; from lorarar.storage import quiet_libraries; quiet_libraries();"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'diffusers', 'huggingface_hub')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_known_warnings_of_libraries_are_filtered_and_others_stay() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        quiet_libraries()
        warnings.warn("__array__ implementation doesn't accept a copy keyword, so ..", DeprecationWarning, stacklevel=1)
        warnings.warn("a warning of ours", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["a warning of ours"]


def test_a_missing_package_is_named_with_its_extra() -> None:
    error = MissingPackage("catboost", "effects", "the effects of factors")
    assert isinstance(error, ImportError)
    assert (error.package, error.name, error.extra) == ("catboost", "catboost", "effects")
    assert str(error) == (
        "expected the package catboost for the effects of factors, found none: pip install 'lorarar[effects]'"
    )
    assert str(MissingPackage("torchvision", "", "this processor")).endswith("found none: pip install torchvision")


def test_the_advice_on_memory_names_what_the_work_has() -> None:
    assert memory_advice(["group", "dtype", "output"]) == 'try a shorter type, `dtype="bf16"`, or a smaller `group`'
    assert "gradient_checkpointing" in memory_advice()
    assert memory_advice([]) == "close other programs, or use a machine with more memory"
