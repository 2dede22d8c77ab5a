#!/usr/bin/env bash
# The main table: every merger on the 64 test pairs at 4 noise seeds. A run that was stopped goes on.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/lorarar benchmark quality configs/benchmark/quality.yaml output=experiments/main "$@"
.venv/bin/python experiments/tables.py
.venv/bin/python experiments/main/blind.py
