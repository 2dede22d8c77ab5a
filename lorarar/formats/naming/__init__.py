"""Layer names in the dialects, translated to diffusers names.

blocks      UNet block names: Stability's (sgm) and diffusers'
fusing      Fusing: diffusers layers of FLUX and SD3 under the authors' names, with fused projections
keys        Keys: the model, the layer and the part of the layer to which a tensor belongs
originals   Authors' names for transformer layers, with fused projections, and the diffusers names of the same layers
rows        Rows of a fused layer: the diffusers layers that it contains
vocabulary  Vocabulary of module names, which restores the dots of kohya's paths
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
