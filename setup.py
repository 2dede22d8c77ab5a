"""Build step: a wheel carries the repository's configs/ as lorarar/configs. All else is in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigurations(build_py):
    """Build the package with its configurations; an editable install finds them in the repository."""

    def run(self) -> None:
        """Build the package, then copy configs/ into it."""
        super().run()
        self.copy_tree("configs", str(Path(self.build_lib, "lorarar", "configs")))


setup(cmdclass={"build_py": BuildWithConfigurations})
