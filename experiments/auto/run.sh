#!/usr/bin/env bash
# The default rule, on LoRAs as they were trained and of mixed strengths; candidates.py, on validation pairs, chose it.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
python=.venv/bin/python
$python experiments/auto/candidates.py as_trained \
    lora:0:1:1 layer:1:0.75:0.75 lora:0:0.75:0.75 lora:1:0.75:0.75 block:1:0.75:0.75 layer:0.5:0.75:0.75 \
    layer:1:0.85:0.85 layer:1:0.65:0.65 layer:1:1:1:0.25:1.25 layer:1:1:1:0.5:1 layer:1:1:1 lora:1:0.85:0.85 \
    lora:1:1:1:0.5:1 layer:0:1:1:0.5:1 layer:0.5:1:1:0.5:1 layer:0.5:1:1:0.25:1.25
$python experiments/auto/candidates.py mixed \
    lora:0:1:1 lora:1:0.85:0.85 layer:1:0.85:0.85 layer:0.5:0.85:0.85 layer:1:1:1:0.25:1.25 layer:1:1:1:0.5:1 \
    lora:1:1:1:0.5:1 layer:0.5:1:1:0.5:1 layer:0.5:1:1:0.25:1.25
$python experiments/auto/candidates.py wild \
    lora:0:1:1 layer:1:0.85:0.85 lora:1:0.85:0.85 lora:0:0.85:0.85 layer:0.5:0.85:0.85 lora:0.5:0.85:0.85 \
    layer:1:1:1 layer:1:0.75:0.75 layer:1:1:1:0.5:1 lora:0:0.75:0.75 block:1:0.85:0.85 profile:1:0.85:0.85 \
    layer:0.5:1:1 layer:0.5:1:1:0.5:1 lora:0:1:1:0.5:1 layer:0.25:0.85:0.85 layer:0.5:1:1:0.25:1.25 \
    layer:0.5:1:1:0.25:1
for zoo in as_trained mixed wild; do
    $python experiments/auto/candidates.py $zoo spectral:0.5:1:1:0.5:1 nuclear:0.5:1:1:0.5:1 relative:0.5:1:1:0.5:1 content:0.5:1:1:0.5:1 \
        style:0.5:1:1:0.5:1 usual:0.5:1:1:0.5:1 usual:1:1:1:0.5:1 layer:0.5:1:1:0.5:1:0.75:0.75:1:1 layer:0.5:1:1:0.5:1:1:1:0.75:0.75
done
.venv/bin/lorarar benchmark quality configs/benchmark/auto.yaml output=experiments/auto/as_trained
$python experiments/auto/against_main.py
$python experiments/auto/mixed.py
.venv/bin/lorarar benchmark quality configs/benchmark/auto.yaml loras=runs/auto/mixed runs=runs/auto/of_mixed output=experiments/auto/mixed
# Bases that the rule was not chosen on; experiments/any_width/run.sh trains them and their LoRAs.
.venv/bin/lorarar benchmark quality experiments/auto/other_base.yaml
sed 's/transformer/wide/g' experiments/auto/other_base.yaml > runs/auto/wide.yaml
.venv/bin/lorarar benchmark quality runs/auto/wide.yaml
