"""Toy world: rendered subjects and styles, 32 x 32 pixels, with a known truth.

analogies    Analogies and edits: what the training and the tests of analogies show
attributes   Attributes of a subject and of a style, and their words
captions     Captions for pre-training, for LoRAs and for pairs
classifier   Attribute classifier: a small network that recognises all eight attributes of an image
crossed      Crossed renders: every content of a split in every style of the split
definition   Definition of the toy world for the stages
editor       Editor base: the toy base, trained further to edit images
export       Export of the world's concepts as images in folders and a manifest
judge/       Embedded judge: a tiny vision-language model, its data and its training
prompted     Attributes that a prompt changes
renderer     Renderer: a subject in a style, 32 x 32 pixels, deterministic from a seed
transformations  Transformations by program, with exact truth, and what of them is held out
vocabulary   Vocabulary of the toy base: every word of the world
world        World: sets of subjects and styles, disjoint, with their ids, names and images
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
