"""From scores of images to scores of methods and their comparisons.

aggregation  From verdicts to scores of methods
comparison   Two methods at a time on the same pairs, and the methods that cannot be told from the best
correction   Scores freed of the judge's known errors
grid         Images laid out as contents x styles x seeds
pairwise     Preferences between two images
results      What judging found, as plain data, and the same as JSON
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
