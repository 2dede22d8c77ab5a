#!/usr/bin/env bash
# Merging two rank-64 SDXL LoRAs against the dense formulation and against the speed of the disk.
set -euo pipefail
cd "$(dirname "$0")/../.."
.venv/bin/lorarar benchmark merge --family sdxl --rank 64 --json > experiments/merge/results.json
