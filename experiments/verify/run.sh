#!/usr/bin/env bash
# Measure the cost of the verification, and list what it says of the planted faults.
set -euo pipefail
cd "$(dirname "$0")/../.."
.venv/bin/python experiments/verify/measure.py
.venv/bin/python experiments/verify/faults.py
