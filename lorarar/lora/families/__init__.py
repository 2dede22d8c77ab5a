"""Families of base models, and the detection of a LoRA's family from its layers.

detection    Detection of a LoRA's family from its layers
family       Family: base models with the same layers
image        Newer image models, whose files keep the names that their trainers gave them
statements   Statements: the base model that the header of a LoRA file names
table        Table of families: base models with the same layers
transformer  Shape of a diffusion transformer: its stacks of blocks, their modules and its width
unet         Shape of a diffusers UNet: its modules and their widths
video        Newer video models, whose files keep the names that their trainers gave them
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
