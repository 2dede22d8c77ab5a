#!/usr/bin/env bash
# A zoo and a benchmark on Ray workers that are killed, the overhead and its simulation, and the judge under load.
# About an hour of two idle CPU cores; --plan says what each part takes. `pip install 'lorarar[cluster]'` first.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/python experiments/cluster/chaos.py runs/cluster "$@"
.venv/bin/python experiments/cluster/overhead.py
.venv/bin/python experiments/cluster/simulate.py
.venv/bin/python experiments/cluster/judging.py
