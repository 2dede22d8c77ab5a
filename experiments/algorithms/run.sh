#!/usr/bin/env bash
# Every algorithm alone on the embedded base: rate on training concepts, scores on others, file size, throughput.
set -euo pipefail
cd "$(dirname "$0")/../.."
OMP_NUM_THREADS=1 .venv/bin/python experiments/algorithms/measure.py
