#!/usr/bin/env bash
# The editor base, the basis and what it is compared with, their answers, and what the basis does inside. One thread; every step resumes.
# With --plan it prints the images to sample and trains nothing. With --ablations it trains and measures the paper's ablations too.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
run=.venv/bin/lorarar
config=configs/analogies/toy.yaml
if [ "${1:-}" = "--plan" ]; then
    .venv/bin/lorarar analogy evaluate configs/analogies/evaluate.yaml --plan
    exit
fi
.venv/bin/lorarar analogy base configs/analogies/base.yaml
$run analogy train $config
$run analogy train $config runs=runs/analogies/one basis.router=uniform basis.count=1 basis.rank=64 basis.alpha=64
$run analogy train $config runs=runs/analogies/uniform basis.router=uniform
$run analogy train $config runs=runs/analogies/oracle basis.router=task
$run analogy train $config runs=runs/analogies/own basis.router=own basis.count=17 basis.alpha=4
.venv/bin/lorarar analogy evaluate configs/analogies/evaluate.yaml
cp runs/analogies/answers/results.json runs/analogies/answers/sheet.png experiments/analogies/
.venv/bin/python experiments/analogies/inside.py
if [ "${1:-}" != "--ablations" ]; then exit; fi
half=$(($(grep -m1 "steps:" $config | tr -dc 0-9) / 2))
ablate() { $run analogy train $config runs=runs/analogies/half_"$1" recipe.steps=$half "${@:2}"; }
ablate basis
ablate tanh basis.gate=tanh
ablate grid basis.router=grid
ablate few basis.count=8
ablate many basis.count=32
ablate thin basis.rank=2 basis.alpha=8
ablate thick basis.rank=8 basis.alpha=32
rows=$(for name in basis tanh grid few many thin thick; do printf '%s: runs/analogies/half_%s/basis.safetensors, ' $name $name; done)
$run analogy evaluate configs/analogies/evaluate.yaml "bases={$rows}" output=runs/analogies/ablations
cp runs/analogies/ablations/results.json experiments/analogies/ablations.json
