#!/usr/bin/env bash
# Everything of this folder's README, in its order; every step resumes. Half an hour on two idle cores. The last step fills the tables.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/python experiments/metrics/rate.py
.venv/bin/lorarar metrics validate -o experiments/metrics/encoders.json
.venv/bin/python experiments/metrics/faults.py
for step in draw judge measure; do .venv/bin/python experiments/metrics/agreement.py "$step"; done
.venv/bin/python experiments/metrics/factorial.py
.venv/bin/python experiments/metrics/study.py
.venv/bin/python experiments/metrics/fill.py
