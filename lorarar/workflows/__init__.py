"""Workflows: from a configuration or a request to a finished run.

analogies        Analogy runs: train a basis of LoRAs with its router, and answer analogies of image files
all_pairs        All pairs: merge every content of a folder with every style of another, with a manifest
diffusers_view   diffusers' view of a LoRA file: the layers that its loader returns, and their strength
descriptions     Descriptions of LoRAs: a model puts into words what each LoRA draws alone
doctor/          Doctor: what this installation and this machine can do, and what is missing for what
merges           Merges of LoRAs in memory and of files, by any merger
pair_identity    Pair identity: what decides the file of a pair of two folders
predicted_kinds  Predicted kinds: what a merge is told of inputs whose files do not state their kind
preview          Preview: a labelled sheet of references, of each LoRA alone, and of methods by weights
recipes          Recipes of a zoo: one for all LoRAs, or several, of which each LoRA gets one by its name
recommendation   Recommendation: what LoRA files are, where they collide, and how to merge them
schemas          Configurations of the commands that train, readable without torch
score            Score of a folder of images: a judge and the metrics, in one run folder with one page
train            Training runs: load what the configuration names, train, write
training_inputs  Training inputs: what a merger is trained on besides the base, checked before the base
verification     Verification of a merged file: what tools make of it, and whether its deltas are those of its inputs
zoo              Zoo runs: train a LoRA for each concept, or for one, and sample images of concepts that have none
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
