#!/usr/bin/env bash
# Needs the extra studio, the package playwright and a Chromium; minutes on two CPU cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
.venv/bin/python experiments/studio/measure.py --rounds 3
