#!/usr/bin/env bash
# Predicting a pair's coefficients against ZipLoRA's 100 steps, on the embedded base.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/lorarar benchmark speedup --json > experiments/speedup/results.json
.venv/bin/python -c 'import json, sys
from lorarar.benchmark.speed import speedup_table
print(speedup_table(json.load(sys.stdin)))' < experiments/speedup/results.json > experiments/speedup/table.md
