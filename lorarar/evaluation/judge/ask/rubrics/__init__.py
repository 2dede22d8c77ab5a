"""Rubrics: the questions that a judge answers, as versioned data.

rubric  Rubric: the questions about both axes, with a version and a hash
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
