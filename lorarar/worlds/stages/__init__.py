"""Stages that make a world's classifier, autoencoder and base, the same for every world.

autoencoder  Autoencoder of a base, trained on renders
base         Training of a base from scratch on renders, whatever its architecture
classifier   Training of a world's classifier
pipelines    Bases before training: pipelines of diffusers, of two architectures
precision    Precision of the stages: bf16 where the processor computes in it
recipes      Recipes of the stages, readable without torch
renders      Renders of a world as training data, kept in parts
runs         Runs of the stages: train, measure, save with a card
samples      Samples of a base in training, and their scores
scoring      Scoring of images of pairs by a world's classifier
vocabulary   Tokenizer of a base: every word of its world is one token
world        World as the stages see it
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
