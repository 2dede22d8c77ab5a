#!/usr/bin/env bash
# One change at a time to the paper's network, then its input's rank, strength and training length.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/python experiments/ablations/make.py
.venv/bin/lorarar benchmark quality configs/benchmark/ablations.yaml
for loras in data/embedded/loras runs/ablations/loras/*; do
    name="$(basename "$loras")"
    .venv/bin/lorarar benchmark quality configs/benchmark/ablation_inputs.yaml loras="$loras" runs="runs/ablations/$name" \
        output="runs/ablations/$name/results"
done
.venv/bin/python experiments/ablations/inputs.py
