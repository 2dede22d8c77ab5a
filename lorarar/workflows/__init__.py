"""Workflows: from a configuration or a request to a finished run.

merge    Merges that need a base model: pair optimisation of a request
schemas  Configurations of the commands that train, readable without torch
train    Training runs: load what the configuration names, train, write
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
