#!/usr/bin/env bash
# All steps of the README in this folder, in its order. Every step resumes. It takes half an hour on two idle cores. The last step fills the tables.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/python experiments/metrics/rate.py
.venv/bin/python experiments/metrics/validate_encoder.py -o experiments/metrics/encoders.json
.venv/bin/python experiments/metrics/faults.py
for step in generate judge measure; do .venv/bin/python experiments/metrics/agreement.py "$step"; done
.venv/bin/python experiments/metrics/factorial.py
.venv/bin/python experiments/metrics/study.py
.venv/bin/python experiments/metrics/fill.py
