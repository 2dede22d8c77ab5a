#!/usr/bin/env bash
# Does our network gain by seeing what LoRAs do in the base? 36 trainings of a few minutes on one core, then the tables.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/lorarar zoo configs/zoo/wild.yaml
.venv/bin/python experiments/eyes/eyes.py "$@"
.venv/bin/python experiments/eyes/eyes.py --table > experiments/eyes/table.md
