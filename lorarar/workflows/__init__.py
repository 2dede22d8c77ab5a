"""Workflows: from a configuration or a request to a finished run.

doctor/          Doctor: what this installation and this machine can do, and what is missing for what
merges           Merges of LoRAs in memory and of files, by any merger
predicted_kinds  Predicted kinds: what a merge is told of inputs whose files do not state their kind
schemas          Configurations of the commands that train, readable without torch
score            Score of a folder of images: a judge and the metrics, in one run folder with one page
train            Training runs: load what the configuration names, train, write
training_inputs  Training inputs: what a merger is trained on besides the base, checked before the base
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
