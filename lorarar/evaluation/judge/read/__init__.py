"""From raw replies to verdicts and scores of images.

parsing        From a raw reply to a verdict
probabilities  Probabilities of an answer's first token
scores         Verdicts -> one score an image
wordings       Answers in words
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
