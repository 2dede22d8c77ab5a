"""From a configuration to a finished run.

schemas  Configurations of the commands that train
train    From a configuration to a finished run: load what it names, train, write
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
