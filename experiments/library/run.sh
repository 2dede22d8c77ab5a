#!/usr/bin/env bash
# LoRAs of 24 styles, then every measurement of the library. About an hour of one CPU core.
set -euo pipefail
cd "$(dirname "$0")/../.."
for script in train retrieval kinds gauge epochs attribution scale kills; do
    OMP_NUM_THREADS=1 .venv/bin/python experiments/library/$script.py
done
.venv/bin/python experiments/library/fill.py
