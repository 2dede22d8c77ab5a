#!/usr/bin/env bash
# Merging two rank-64 SDXL LoRAs against the dense formulation and against the speed of the disk.
set -euo pipefail
cd "$(dirname "$0")/../.."
.venv/bin/lorarar benchmark merge --family sdxl --rank 64 --json > experiments/merge/results.json
.venv/bin/lorarar benchmark merge --processes --repetitions 3 --json > experiments/merge/processes.json
.venv/bin/python experiments/merge/truncation.py > experiments/merge/truncation.json
.venv/bin/python experiments/merge/ssr.py > experiments/merge/ssr.json
