"""Toy world: rendered subjects and styles, 32 x 32 pixels, with a known truth.

attributes   Attributes of a subject and of a style, and their words
autoencoder  Autoencoder of the toy base, trained on renders: 32 x 32 pixels to 8 x 8 latents
base         Training of a toy base from scratch on renders, whatever its architecture
captions     Captions for pre-training, for LoRAs and for pairs
classifier   Attribute classifier: a small network that recognises all eight attributes of an image
crossed      Crossed renders: every content of a split in every style of the split
export       Export of the world's concepts as images in folders and a manifest
judge/       Embedded judge: a tiny vision-language model, its data and its training
pipelines    Toy bases before training: pipelines of diffusers, of two architectures
prompted     Attributes that a prompt changes
recipes      Recipes of the stages, readable without torch
renderer     Renderer: a subject in a style, 32 x 32 pixels, deterministic from a seed
scoring      Scoring of images of toy pairs by the attribute classifier
stages       Stages that make the embedded default's classifier, autoencoder and base
vocabulary   Tokenizer of the toy base: every word of the world is one token
world        World: sets of subjects and styles, disjoint, with their ids, names and images
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
