#!/usr/bin/env bash
# All that needs a GPU: full-size steps and memory, prediction and merge, the speedup over ZipLoRA, LoRAs in a batch.
# At most 8 minutes on one GPU; no weights are fetched. `run.sh --dry-run --output FILE` takes tiny shapes on the CPU.
set -euo pipefail
cd "$(dirname "$0")/../.."
timeout 480 .venv/bin/python experiments/accelerator/measure.py --minutes 7.9 "$@"
