#!/usr/bin/env bash
# Try every report anew: results.json and the table of README.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
.venv/bin/python experiments/reports/reports.py
