"""Mergers: the table of methods, and merging in memory and from file to file.

combination  Merge LoRAs in memory by any method of the table: what `from lorarar import merge` gives
files        Merge LoRA files: read, merge, write, in one call
methods/     Closed-form mergers, and those that act while sampling
objective    The losses that learned mergers minimise: pure functions on tensors
optimised/   Mergers that optimise the coefficients of each pair
report       What a merge of files did: as plain data, and as text for people
table        Every merger, in one table. Callers ask for the kind, never for the name
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
