#!/usr/bin/env bash
# A hypernetwork whose training concepts exist in words alone: their images, their LoRAs, the network. One thread.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/python experiments/words/concepts.py
.venv/bin/lorarar synthesise configs/zoo/words.yaml
.venv/bin/lorarar zoo configs/zoo/words.yaml
.venv/bin/lorarar train configs/train/words.yaml
