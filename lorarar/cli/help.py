"""Help: command-line parsers whose help shows the default of every option."""

from __future__ import annotations

import argparse
from typing import Any


class DefaultsFormatter(argparse.HelpFormatter):
    """Formatter that ends the help of an option with its default.

    The help of an option without a value as default, such as an optional file, states in words what happens without it.
    """

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        default = action.default
        has_value = default is not None and default is not False and default not in ("", [], argparse.SUPPRESS)
        if "default:" in text or not has_value:
            return text
        values = default if isinstance(default, list) else [default]
        return f"{text}; default: {' '.join(map(str, values))}".replace("%", "%%")


class Parser(argparse.ArgumentParser):
    """Parser with `DefaultsFormatter`; parsers of sub-commands are of the same class."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"formatter_class": DefaultsFormatter, **settings})
