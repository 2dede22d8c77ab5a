#!/usr/bin/env bash
# The rows that claims are made of, on all 256 test pairs of LoRAs of one recipe, then in the wild. One thread.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
.venv/bin/lorarar zoo zoo/embedded manifests=[data/embedded/concepts.yaml,data/wild/concepts.yaml] \
    splits=data/wild/concepts.yaml split=wild output=runs/zoo_claims
.venv/bin/lorarar benchmark quality configs/benchmark/claims.yaml output=experiments/claims/one_recipe
.venv/bin/lorarar zoo zoo/wild
.venv/bin/lorarar benchmark quality configs/benchmark/claims_wild.yaml output=experiments/claims/wild
.venv/bin/python experiments/claims/words.py
.venv/bin/lorarar benchmark quality experiments/claims/ziprank.yaml
.venv/bin/lorarar benchmark quality experiments/claims/rivals.yaml
.venv/bin/python experiments/claims/against_rivals.py
.venv/bin/python experiments/claims/whole_merges.py
