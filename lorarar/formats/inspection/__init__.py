"""What a LoRA file holds, and where two LoRAs collide.

comparison  Where two LoRAs collide
kinds       What a layer does in its model, told from its path, and tables of such things as text
report      What a LoRA file holds, also where its deltas need the base model
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
