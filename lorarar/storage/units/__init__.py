"""Units: many pieces of idempotent work, computed in this process, by the workers of Ray, or by an array under SLURM.

engines       Engines: the choice among them, progress and failures
ray_engine    Ray: units on the workers of a cluster, or on several processes of this machine
slurm_engine  SLURM: units as the tasks of an array, by submitit
work          Work: what the units share, a worker's settings, and the result of one unit
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
