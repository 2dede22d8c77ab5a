"""Dialects: what the keys of a file mean, one module each.

cloneofsimo  The first LoRA layout for Stable Diffusion
comfyui      The layout of ComfyUI and ai-toolkit
diffusers    The layouts of diffusers and peft, old and current; all name layers with dots
grouping     From a file's keys to layers: what each key means, and which keys belong together
kohya        The layout of kohya's trainer, which most files have
peft         The layout of peft
xlabs        The layout of XLabs' FLUX LoRAs: `double_blocks.0.processor.qkv_lora1.down.weight`
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
