"""Dialects: the meaning of the keys in a file, one module each.

cloneofsimo  cloneofsimo dialect, the first for Stable Diffusion: numbered layers, `unet:0:down`
comfyui      ComfyUI and ai-toolkit dialect: the authors' path after `diffusion_model.`
diffusers    diffusers and peft dialects, old and current: dotted layer names
grouping     Grouping: from the keys of a file to layers and their parts
kept         Kept names: keys of a model that is not known, whose layers keep the names of the file
kohya        kohya dialect, the most common: `lora_unet_<path with underscores>.lora_down.weight`
peft         peft dialect: `base_model.model.X.lora_A.weight`, with alpha in `adapter_config.json`
same         The dialect "same": every layer under the name that it has in the file that it came from
table        Table: every dialect with its parser, and the function that writes it
unsupported  Unsupported files: adapters that are no LoRA, and LoRAs for a model with another input
xlabs        XLabs dialect for FLUX: `double_blocks.0.processor.qkv_lora1.down.weight`
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
