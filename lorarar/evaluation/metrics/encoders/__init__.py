"""Encoders of images and texts.

choice        Choice of an encoder, readable without torch
likeness      Likeness: whether images are like those that an encoder was trained on
loading       Loading of encoders by name
pixels        Pixel statistics: an encoder without a network, as a baseline for the other encoders
protocols     Protocols of encoders: images, texts, feature maps
resizing      Resizing: how an image of any shape becomes the input of a network
transformers  Encoders from transformers: CLIP, DINOv2, and the SigLIP vision tower of a LLaVA
vgg19         VGG-19: its sixteen convolutions, for Gram matrices. The user provides the weights
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
