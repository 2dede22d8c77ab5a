#!/usr/bin/env bash
# The authors' networks and, if given, two LoRA files: run.sh SDXL.pth KOALA.pth [LORA.safetensors LORA.safetensors]
set -euo pipefail
.venv/bin/python "$(dirname "$0")/measure.py" "$@"
