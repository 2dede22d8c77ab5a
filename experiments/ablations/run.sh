#!/usr/bin/env bash
# One change at a time to the paper's network, then its input's rank, strength and training length.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/python experiments/ablations/make.py
.venv/bin/lorarar benchmark quality configs/benchmark/ablations.yaml output=experiments/ablations
score() {
    .venv/bin/lorarar benchmark quality configs/benchmark/ablation_inputs.yaml loras="$2" runs="runs/ablations/$1" \
        output="runs/ablations/$1/results"
}
score as_trained data/embedded/loras
for loras in runs/ablations/loras/{rank,scale_x,steps}*; do score "$(basename "$loras")" "$loras"; done
for scale in scale_x0.25 scale_x4; do
    .venv/bin/lorarar benchmark quality configs/benchmark/ablation_optimised.yaml loras="runs/ablations/loras/$scale" \
        runs="runs/ablations/$scale" output="runs/ablations/$scale/optimised"
done
.venv/bin/python experiments/ablations/inputs.py
.venv/bin/lorarar benchmark quality configs/benchmark/ablation_mixed.yaml output=experiments/ablations/mixed
.venv/bin/python experiments/main/blind.py mixed
.venv/bin/lorarar benchmark quality configs/benchmark/ablation_normalised.yaml output=experiments/ablations/normalised
