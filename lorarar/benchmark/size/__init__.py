"""Size: memory and operations of the work on full-size bases, counted without weights, and seconds on GPUs.

bases     Bases: denoisers of the supported families at their true size, without weights
counting  Counting: parameters, operations and saved activations of a pass, on the meta device
works     Works: memory and operations of each kind of work on a base, by arithmetic
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
