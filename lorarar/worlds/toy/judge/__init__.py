"""The embedded judge: a tiny vision-language model, its data and its training.

data       What the tiny judge learns from
model      The tiny judge: a LLaVA of one million parameters in the layout of a large one
negatives  Images that show neither the subject nor the style that is asked for
scores     How well a tiny judge tells pairs of renders apart, read off its probabilities
stages     Makes the embedded judge
texts      What the tiny judge is asked while it learns
training   Training of the tiny judge
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
