"""How far a judge can be trusted: calibration, gate, consistency, agreement with people.

agreement    Do people, this judge and other judges agree about the same images?
calibration  Questions whose right answer is known without asking anybody
consistency  Does the judge say the same when it is asked the same in another way?
degenerate   Images that no judge may accept
gate         The gate
labels       People's labels, kept in the folder of the run that they are about
rating       A blinded sheet on which people rate images
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
