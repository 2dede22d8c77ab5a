"""Layer names in the dialects, translated to diffusers names.

blocks        UNet block names: Stability's (sgm) and diffusers'
fusing        Fusing: diffusers layers under the names of a file or of the authors, with projections fused exactly
image_tables  Tables of the names of image models
keys          Keys: the model, the layer and the part of the layer to which a tensor belongs
originals     Authors' names for transformer layers, with fused projections, and the diffusers names of the same layers
rows          Rows of a fused layer: the exact separation of the diffusers layers that it contains
schemes       Naming schemes: the authors' names of transformer layers beside the diffusers names, as tables
video_tables  Tables of the names of video models
vocabulary    Vocabulary of module names, which restores the dots of kohya's paths
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
