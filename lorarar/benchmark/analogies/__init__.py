"""Measurement of answers to analogies: accuracy and preservation against the toy world's exact truth.

judging   Judging: a multimodal model's votes on whether the change was made and the rest kept
methods   Methods: bases by their files, an optimised combination, the base alone and by words, copies of the inputs
results   Results: means over images of each transformation, intervals over transformations
run       Run: sample, judge and score the answers of every method
scoring   Scoring: what was to change, what was to stay
settings  Settings of the measurement, readable without torch
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
