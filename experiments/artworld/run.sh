#!/usr/bin/env bash
# The parts of the art world, made from nothing and measured. Each stage resumes.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/lorarar world classifier configs/world/art.yaml
.venv/bin/lorarar world autoencoder configs/world/art.yaml
.venv/bin/lorarar world base configs/world/art.yaml
.venv/bin/python experiments/artworld/speed.py
.venv/bin/python experiments/artworld/measure.py
.venv/bin/lorarar benchmark gates configs/benchmark/gates_art.yaml output=experiments/artworld/gates
