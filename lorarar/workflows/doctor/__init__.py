"""Doctor: what this installation and this machine can do, and what is missing for what.

Nothing is downloaded, and torch need not be importable.

diagnosis  Diagnosis: all facts together, and the problems that follow from them
machine    Machine: Python, torch, devices, memory, disk, terminal
packages   Packages: versions against the declared minimum, and the extras
parts      Parts: shipped networks, embedded judge, embedded default, hub cache
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
