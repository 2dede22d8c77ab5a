#!/usr/bin/env bash
# Costs against growth: about three minutes of CPU time on one core.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/python experiments/growth/growth.py
.venv/bin/python experiments/growth/picture.py
