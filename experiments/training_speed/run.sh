#!/usr/bin/env bash
# A training step against the released formulation: the embedded recipe's batch, the release's own, the former with checkpointing.
set -euo pipefail
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
results=experiments/training_speed/results.jsonl
for words in "" "--pairs 1 --images 1" "--gradient-checkpointing"; do
    # shellcheck disable=SC2086 # several words
    .venv/bin/lorarar benchmark training $words --json
done > "$results"
.venv/bin/python -c 'import json, sys
from lorarar.benchmark.speed import training_table
print(training_table([json.loads(line) for line in sys.stdin]))' < "$results" > experiments/training_speed/table.md
