"""Collection: the script that runs within ComfyUI's source is no test by itself."""

collect_ignore = ["comfyui_source.py"]
