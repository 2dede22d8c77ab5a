"""Quality: `lorarar benchmark quality` merges the pairs of a split by every row and scores the images.

builders     Builders: from a row's settings to its method, one builder for each kind
cells        Cells: images of one method for one pair, computed once and kept by the hash of everything they depend on
comparison   Paired comparisons of rows: intervals, sign-flip tests, equivalence
config       Configuration: the rows of the table and their common settings, as in the YAML
crossing     Crossing: the contents and the styles of pairs as crossed factors, also where a concept has several LoRAs
distribution Distribution: trainings and cells that are missing, computed by the workers of an engine
drawing      Pictures of the comparison: content against style, and a contact sheet
inputs       Inputs: base, concepts, splits and LoRAs, loaded once and checked
judging      Judging of the rows' images by a judge
methods      Methods: each merges the pairs of a row, measured, and samples their images
optimised    Optimised pairs: the merges of a row whose method optimises the coefficients of each pair
plan         Plan: images, hours and bytes of a run, before anything runs
recipes      Recipes: the scores of pairs whose LoRAs were trained by each recipe
results      Results: means with crossed intervals, paired comparisons, the methods tied with the best
rows         Rows as typed data, every setting checked
run          Run: the whole benchmark, from a configuration to the files
settings     Settings of a row: one dataclass for each kind
table        Table of the results in Markdown
tuning       Tuning: the choice of a row's settings on validation pairs
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
