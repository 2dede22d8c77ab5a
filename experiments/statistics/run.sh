#!/usr/bin/env bash
# What the intervals cover and how often the paired tests cry wolf, by simulation.
set -euo pipefail
cd "$(dirname "$0")/../.."
OMP_NUM_THREADS=1 .venv/bin/python experiments/statistics/simulate.py
