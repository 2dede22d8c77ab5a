"""Mergers that optimise the coefficients of each pair.

cat          CAT: one learned number for each LoRA and layer on the concatenation of the factors
recipe       How a learned merger, or the coefficients of one pair, are optimised: settings as data
text_guided  Words
ziplora      ZipLoRA
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
