"""LoRA in memory: layers, factors, coefficients and the exact merge.

coefficients  Coefficients: a factor for each column of each input, and the exact merge that they define
dense         Dense deltas: full-rank updates, norms and biases
devices       Devices: the accelerator or CPU that a name means on this machine
display       Display of a LoRA: one line for a terminal, a small table for a notebook
dtypes        Floating-point types in which weights are stored, by name
families/     Families of base models, and the detection of a LoRA's family from its layers
lora          LoRA: a mapping from layer path to delta, independent of the file format
lowrank       Low-rank deltas: algebra on dW = scale B A without the dense dW
memory        Memory: freed tensors that the process keeps for the next ones
rows          Rows of a stored layer: the layers that a file keeps in one
threads       Threads: a context in which torch computes on one thread, and layers computed side by side
truncation    Truncation: a LoRA of lower rank, with the error of the approximation
weights       LoRA weights: the user's factors for whole inputs, for blocks and for text encoders
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
