"""Embedded judge: a tiny vision-language model, its data and its training.

data       Training data: pairs of images whose attributes are known
describer  Describer: a second tiny model, which puts into words what images have in common
ending     End of an answer, fitted after the training
model      Model: a LLaVA of one million parameters in the layout of a large one
negatives  Negatives: images that show neither a subject nor a style
recipes    Recipes of the training, readable without torch
scores     Scores: how well the judge separates pairs of renders, by its probabilities
stages     Stages that make the embedded judge
texts      Questions for training: single attributes first, then whole questions in many wordings
training   Training: the vision tower on attributes, then the whole model on pairs of images
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
