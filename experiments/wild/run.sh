#!/usr/bin/env bash
# LoRAs as users have them: train the zoo, score each alone, compare mergers. One thread.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/python experiments/wild/concepts.py
.venv/bin/lorarar zoo configs/zoo/wild.yaml
.venv/bin/python experiments/wild/alone.py data/wild/loras experiments/wild/alone.jsonl
.venv/bin/lorarar benchmark quality configs/benchmark/wild.yaml output=experiments/wild
.venv/bin/lorarar benchmark quality experiments/wild/all_pairs.yaml
