#!/usr/bin/env bash
# Coverage of the intervals and errors of the paired tests, by simulation.
set -euo pipefail
cd "$(dirname "$0")/../.."
OMP_NUM_THREADS=1 .venv/bin/python experiments/statistics/simulate.py
