"""LoRA files: every dialect read exactly, three dialects written.

algorithms/   Algorithms that compute a layer's delta from the tensors in a file: LoRA, LoHa, LoKr, DoRA,
base_weights  A base model's weights by the paths of a LoRA's layers, for algorithms whose deltas depend on them
conversion    One LoRA file into another: dialect, precision, rank
dialects/     Dialects: what the keys of a file mean, one module each
embeddings    Learned tokens that travel with a LoRA
inspection/   What a LoRA file holds, and where two LoRAs collide
loading       From what a file holds to its deltas
metadata      Headers that say what a LoRA file is and how it was made, in the words that other tools read
naming/       Names of layers in the dialects, translated to the names of diffusers
reading       From a file's keys to its layers
scaling       alpha, rank and scale: how files say how strong a layer is
stored        One layer as a file stores it, and its way to deltas in diffusers' names
tensor_files  Files as such: hashes, and safetensors with errors that say what to do
writing       From layers to a file
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
