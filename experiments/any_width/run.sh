#!/usr/bin/env bash
# Two further bases of the toy world, their LoRAs, and whether these are good enough: one thread, one after the other.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
for name in transformer wide; do
    .venv/bin/lorarar world base configs/world/$name.yaml
    .venv/bin/lorarar zoo configs/zoo/$name.yaml
    .venv/bin/python experiments/any_width/gates.py $name
done
.venv/bin/lorarar benchmark quality configs/benchmark/any_width.yaml output=experiments/any_width/transformer
mkdir -p runs/any_width
sed 's/transformer/wide/g' configs/benchmark/any_width.yaml > runs/any_width/wide.yaml
.venv/bin/lorarar benchmark quality runs/any_width/wide.yaml output=experiments/any_width/wide
.venv/bin/python experiments/any_width/cost.py
