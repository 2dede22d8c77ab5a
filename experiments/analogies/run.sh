#!/usr/bin/env bash
# Both editor bases, the bases of LoRAs and what they are compared with, the paper's ablations at half the steps, all answers, and what the basis does inside.
# Two trainings run at a time, one thread each, beside the transformer's base; every step resumes. With --plan it prints the images to sample and the hours, and trains nothing.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
config=configs/analogies/toy.yaml
steps=4000 # of configs/analogies/toy.yaml
one="basis.router=uniform basis.count=1 basis.rank=64 basis.alpha=64"
half="recipe.steps=$((steps / 2))"
transformer="base=runs/analogies/base_transformer"
# Name of the run, then what differs from the configuration. The first two need different analogies, which both encode.
trainings="basis
basis_1 seed=1
one $one
one_1 $one seed=1
uniform basis.router=uniform
oracle basis.router=task
own basis.router=own basis.count=17 basis.alpha=4
half_basis $half
half_tanh $half basis.gate=tanh
half_grid $half basis.router=grid
half_few $half basis.count=8
half_many $half basis.count=32
half_thin $half basis.rank=2 basis.alpha=8
half_thick $half basis.rank=8 basis.alpha=32"
on_transformer="transformer_basis $transformer
transformer_one $transformer $one"
evaluations="evaluate evaluate_ablations evaluate_transformer"
if [ "${1:-}" = "--plan" ]; then
    for name in $evaluations; do .venv/bin/lorarar analogy evaluate configs/analogies/$name.yaml --plan; done
    minutes=$((10 + 40 + (7 * steps + 7 * steps / 2) / 300 + 2 * steps / 300 + 15)) # bases, trainings, those on the transformer, answers
    echo "about $((minutes / 60)) h $((minutes % 60)) min of one free core, half of that on two"
    exit
fi
train() { sed 's|^|runs=runs/analogies/|' <<<"$1" | xargs -P 2 -L 1 .venv/bin/lorarar analogy train $config; }
.venv/bin/lorarar analogy base configs/analogies/base_transformer.yaml &
.venv/bin/lorarar analogy base configs/analogies/base.yaml
train "$trainings"
wait $!
train "$on_transformer"
for name in $evaluations; do .venv/bin/lorarar analogy evaluate configs/analogies/$name.yaml "$@"; done
cp runs/analogies/answers/results.json runs/analogies/answers/sheet.png experiments/analogies/
for name in ablations transformer; do cp runs/analogies/answers_$name/results.json experiments/analogies/$name.json; done
.venv/bin/python experiments/analogies/inside.py
.venv/bin/python experiments/analogies/summarise.py
