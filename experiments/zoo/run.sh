#!/usr/bin/env bash
# Sixteen LoRAs in one batch against one by one with peft, side by side in one run.
set -euo pipefail
cd "$(dirname "$0")/../.."
.venv/bin/lorarar benchmark zoo configs/zoo/embedded.yaml | tee experiments/zoo/results.json
