"""Files on disk: atomic writing, text formats, hashes, run folders, cards, configurations.

atomic    Writing a file in one step. The standard library alone: what writes little starts fast
cards     A card beside each artefact: how it was made, and the hash that it must have
config    Configurations
hashing   Hashes of files and of plain data: what tells equal work from different work
settings  What a run was started with, kept beside its checkpoints
text      Text files of a judging run, written in one step
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
