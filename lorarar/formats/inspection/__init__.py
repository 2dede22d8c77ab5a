"""Inspection of LoRA files: report on one, comparison of two.

comparison  Comparison of two LoRAs: alignment of their deltas and of their row and column spaces
kinds       Kinds of layers, derived from their paths, and text tables
report      Report on a LoRA file, including layers whose deltas need the base model
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
