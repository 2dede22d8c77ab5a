"""The scripts of experiments/metrics as modules: they import each other by their bare names, as when they are run."""

from __future__ import annotations

import sys

from tests import ROOT

sys.path.insert(0, str(ROOT / "experiments" / "metrics"))
