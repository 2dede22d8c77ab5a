#!/usr/bin/env bash
# The main table: every shipped merger on the 64 test pairs at 4 seeds, from the shipped artefacts.
set -euo pipefail
cd "$(dirname "$0")/../.."
.venv/bin/lorarar benchmark compare configs/benchmark/compare.yaml
