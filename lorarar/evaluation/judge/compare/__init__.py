"""Comparison of methods: from scores of images to scores of methods, with tests.

aggregation  Aggregation: from verdicts to scores of methods
comparison   Comparison of every two methods on the same pairs, and the methods that tie with the best
correction   Correction of scores for the judge's measured errors
grid         Grid of contents, styles and seeds: the crossed design of intervals and tests
pairwise     Pairwise preferences: tournaments of methods, with Bradley-Terry strengths
results      Results of judging, as plain data
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
