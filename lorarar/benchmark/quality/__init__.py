"""Quality: `lorarar benchmark quality` merges the pairs of a split by every row and scores the images.

builders  From a row's settings to its method, one builder for each kind
cells     Images of one method for one pair, computed once and kept by the hash of everything they depend on
config    Rows of the table and what they share, as the YAML states them
drawing   Content against style, and a contact sheet
inputs    Base, concepts, splits and LoRAs, loaded once and checked
judging   The rows' images before a judge
methods   What a row does with pairs: merge them, measured, and sample their images
plan      Images, hours and bytes of a run, before anything runs
results   Means with crossed intervals, paired comparisons, the methods tied with the best
rows      Rows as typed data, every setting checked
run       The whole run, from a configuration to the files
settings  Settings of a row: one dataclass for each kind
table     Results in Markdown
tuning    The choice of a row's settings on validation pairs
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
