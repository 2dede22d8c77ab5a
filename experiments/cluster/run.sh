#!/usr/bin/env bash
# A zoo and a benchmark on Ray workers that are killed, the overhead and its simulation, and the judge under load.
# About an hour of two idle CPU cores; --plan says what each part takes. `pip install 'lorarar[cluster]'` first.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/python -m experiments.cluster.chaos runs/cluster "$@"
.venv/bin/python -m experiments.cluster.overhead
.venv/bin/python -m experiments.cluster.simulate
.venv/bin/python -m experiments.cluster.judging
