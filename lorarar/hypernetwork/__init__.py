"""Learned mergers: networks and constants that yield the coefficients of a merge.

build       New learned mergers, sized for a base model
checkpoint  Files of learned mergers: safetensors, with the kind and the configuration in the header
constant    Constant merger: learned numbers that do not look at the LoRAs
features    What can be told of a LoRA's layers, beside other LoRAs', without knowing width, rank or factorisation
hub         Learned mergers in folders and on the Hugging Face hub
layerwise   Our hypernetwork
paper       The hypernetwork of LoRA.rar, as its authors released it, computed through the factors
released    The hypernetworks that the authors of LoRA.rar released, pickled .pth files of six tensors
shipped     The learned mergers that come with lorarar
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
