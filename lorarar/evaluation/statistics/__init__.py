"""Statistics of scores: intervals, paired tests and agreement for scores of crossed pairs; numpy only.

agreement      Agreement: whether two raters agree beyond chance, and whether a score separates two classes
bradley_terry  Bradley-Terry model: strengths of methods from pairwise preferences
comparisons    Comparisons of methods: paired tests, and corrections for many tests
correlation    Rank correlation: whether two scores order items in the same way
equivalence    Equivalence: whether two methods differ by less than a margin that was fixed beforehand
intervals      Intervals for means of crossed scores: contents x styles x seeds
proportions    Proportions: Wilson's interval, the correction for the measured errors of a judge, the best of k
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
