"""Names of layers in the dialects, translated to the names of diffusers.

blocks      UNet names
fusing      diffusers' layers of FLUX and SD3 in the names of the models' authors
keys        What a key of a file means: a layer of a model, and the part of it that the tensor is
originals   Transformer names of the models' authors, with fused projections, and diffusers' names for the same la
rows        Stored layers that are several of diffusers' layers
vocabulary  Underscores back to dots
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
