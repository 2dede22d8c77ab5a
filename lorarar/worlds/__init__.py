"""The embedded default: a small world with known truth.

toy/  A world of rendered subjects and styles, 32 x 32 pixels, with known truth
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
