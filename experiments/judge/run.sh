#!/usr/bin/env bash
# How good is the embedded judge, and what does the judge's own work cost?
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/python experiments/judge/tiny_judge.py test
.venv/bin/python experiments/judge/overhead.py
