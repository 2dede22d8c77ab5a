#!/usr/bin/env bash
# Whether the embedded default can rank merge methods, from the shipped artefacts.
set -euo pipefail
cd "$(dirname "$0")/../.."
.venv/bin/lorarar benchmark gates configs/benchmark/gates.yaml output=experiments/gates
