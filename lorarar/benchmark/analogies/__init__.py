"""Measurement of answers to analogies: accuracy and preservation against the toy world's exact truth.

methods   Methods: bases by their files, the base alone and by words, copies of the inputs
results   Results: means over images of each transformation, intervals over transformations
run       Run: sample and score the answers of every method, cell by cell
scoring   Scoring: what was to change, what was to stay
settings  Settings of the measurement, readable without torch
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
