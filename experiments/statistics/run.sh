#!/usr/bin/env bash
# Coverage of intervals and errors of paired tests, by simulation; then a check that the quality results are made by the adopted interval.
set -euo pipefail
cd "$(dirname "$0")/../.."
OMP_NUM_THREADS=1 .venv/bin/python experiments/statistics/simulate.py
.venv/bin/python experiments/statistics/recompute.py --check
