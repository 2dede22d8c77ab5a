#!/usr/bin/env bash
# Memory and operations of the work on full-size bases, without weights, and one real pass of Stable Diffusion 1.5's denoiser on the CPU.
set -euo pipefail
cd "$(dirname "$0")/../.."
: > experiments/size/table.md
for family in sd15 sdxl koala sd3 flux flux2-klein; do
  .venv/bin/lorarar benchmark size "$family" --json > "experiments/size/$family.json"
  .venv/bin/lorarar benchmark size "$family" >> experiments/size/table.md
  echo >> experiments/size/table.md
done
.venv/bin/python experiments/size/shipped_sizes.py > experiments/size/shipped_sizes.json
.venv/bin/python experiments/size/check.py > experiments/size/check.json
