"""Intervals, paired tests and agreement for scores of crossed pairs; numpy only.

agreement      Do two raters agree beyond chance, and does a score tell two classes apart?
bootstrap      Intervals for scores of crossed pairs: contents x styles x seeds
bradley_terry  Strengths of methods from pairwise preferences
comparisons    Is one method better than another? Paired tests, and what to do about many of them
correlation    Do two scores order things alike? Rank correlation, with intervals for crossed pairs
proportions    Counted proportions
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
