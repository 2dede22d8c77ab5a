"""Families of base models, and how the layers of a LoRA tell its family.

detection    How a LoRA's layers tell its family
table        The table of families: base models that share their layers
transformer  The shape of a diffusion transformer
unet         The shape of a diffusers UNet
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
