#!/usr/bin/env bash
# 26 configurations of LoRA training, three seeds, three checkpoints; then ranks, statements and effects. One thread.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/python experiments/lycoris/measure.py --plan
.venv/bin/python experiments/lycoris/measure.py
.venv/bin/python experiments/lycoris/analyse.py
.venv/bin/python experiments/lycoris/picture.py
