#!/usr/bin/env bash
# Sixteen LoRAs in one batch against one by one with peft, side by side in one run: four images a step, then one.
set -euo pipefail
cd "$(dirname "$0")/../.."
for images in 4 1; do
    .venv/bin/lorarar benchmark zoo configs/zoo/embedded.yaml recipe.images=$images | tail -1
done | tee experiments/zoo/results.jsonl
