#!/usr/bin/env bash
# A zoo and a benchmark on Ray workers that are killed, the overhead and its simulation, and the judge under load.
# About 45 minutes of CPU time and 35 of two idle cores; `run.sh --plan` says what each part takes, other options go to
# chaos.py. `pip install 'lorarar[cluster]'` first.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/python experiments/cluster/chaos.py runs/cluster "$@"
if [ "${1:-}" != --plan ]; then
  .venv/bin/python experiments/cluster/overhead.py
  .venv/bin/python experiments/cluster/simulate.py
fi
.venv/bin/python experiments/cluster/judging.py $([ "${1:-}" != --plan ] || echo --plan)
