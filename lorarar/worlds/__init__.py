"""Worlds: images with a known truth, and the base, classifier and autoencoder that are made from them.

toy/    Toy world: rendered subjects and styles, 32 x 32 pixels, the embedded default
art/    Art world: drawings by several artists in the styles of techniques, 64 x 64 pixels
stages/ Stages that make a world's classifier, autoencoder and base
table   Worlds by name
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
