"""Art world: drawings by several artists in the styles of art filters, 64 x 64 pixels, with a known truth.

atlas        Atlas: all drawings in one image with transparency
catalogue    Catalogue of the drawings and of the packages that they come from
packages     Packages of the drawings, checked by hash
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
