"""`lorarar benchmark quality`: every merger on the pairs of a split, scored by its images.

cells    One method on one pair is a cell: made once, kept by the hash of all that it depends on
config   What `lorarar benchmark quality` compares: methods as data
drawing  Pictures of the comparison: content against style, and a contact sheet
judging  The rows' images before a judge: one more scorer, the only one where no reader is
methods  A row of the table as two functions: merge pairs, and draw their images
plan     What a run will take, before anything runs
results  What the cells say
rows     From a row of the configuration to a method: one builder for each kind
run      Every merger on the pairs of a split, by the images that it makes
table    The results as a Markdown table
tuning   Choose a row's settings on validation pairs, with the same budget for every tuned row
world    Everything that the benchmark's methods and scores draw on, loaded once and checked
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
