#!/usr/bin/env bash
# What LoRAs draw tells what they are: the describer's words, merges with them, what wrong words cost, and the time.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/python experiments/describe/words.py validation
.venv/bin/python experiments/describe/wrong.py
.venv/bin/lorarar benchmark quality configs/benchmark/describe.yaml output=experiments/describe "$@"
.venv/bin/python experiments/describe/compare.py
.venv/bin/python experiments/describe/words.py validation test
