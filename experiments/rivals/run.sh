#!/usr/bin/env bash
# The mergers of 2025 and 2026 on the embedded default, and the time of the closed-form ones at SDXL's size.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/lorarar benchmark quality configs/benchmark/rivals.yaml output=experiments/rivals
.venv/bin/python experiments/rivals/timing.py 16
