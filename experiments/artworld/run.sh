#!/usr/bin/env bash
# The parts of the art world, made from nothing and measured. Each stage resumes.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
for stage in classifier autoencoder base; do
    .venv/bin/lorarar world "$stage" configs/world/art.yaml
done
.venv/bin/python experiments/artworld/speed.py
.venv/bin/python experiments/artworld/measure.py
.venv/bin/lorarar benchmark gates configs/benchmark/gates_art.yaml output=experiments/artworld/gates
