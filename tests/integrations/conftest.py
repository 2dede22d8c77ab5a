"""Collection: the scripts that run within ComfyUI's source are no tests by themselves."""

collect_ignore = ["comfyui_source.py", "comfyui_sampling.py"]
