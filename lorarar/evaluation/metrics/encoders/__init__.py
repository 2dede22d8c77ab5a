"""Encoders of images and texts.

opening       Encoders by name
pixels        Pixel statistics: what can be said without a network. A floor for every other encoder
protocols     What an encoder can do
resizing      How an image of any shape becomes a network's input
transformers  Encoders that transformers loads: CLIP, DINOv2, and the SigLIP tower of a LLaVA
vgg19         VGG-19's sixteen convolutions, for Gram matrices; the weights are the user's
weights       Where an encoder's weights lie, and their hash
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
