"""Analogies: given a, a' and b, find b' with a : a' = b : b', by a mix of a learned basis of LoRAs.

application  Application of a trained basis to images: the mix, its LoRA, the answer
basis        Basis: N LoRAs with keys in each layer, and the router that mixes them
combination  Combination: weights of the LoRAs that are optimised for one analogy
examples     Examples: analogies as latents, conditions and features of the router's encoder
files        Files of trained bases, and the check that a basis belongs to a base
recipes      Recipes of bases and of their training, readable without torch
training     Training of a basis on a frozen editing base
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
