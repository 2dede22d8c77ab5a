#!/usr/bin/env bash
# Count missed accelerators and false alarms.
set -euo pipefail
cd "$(dirname "$0")/../.."
.venv/bin/python experiments/accelerators/count.py
