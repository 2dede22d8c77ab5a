"""Worlds: the embedded default, a small world whose images have a known truth.

toy/  Toy world: rendered subjects and styles, 32 x 32 pixels, with a known truth
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
