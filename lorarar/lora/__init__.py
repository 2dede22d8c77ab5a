"""A LoRA in memory: layers, factors, coefficients and the exact merge.

coefficients  Coefficients, and the exact merge that they define
dense         Deltas that have no thin factors: full-rank updates, norms and biases
dtypes        Names of the floating-point types that weights are stored in
families/     Families of base models, and how the layers of a LoRA tell its family
lora          A LoRA in memory: layer path -> delta, whatever file it came from
lowrank       Algebra on low-rank deltas, dW = scale B A, that never forms dW
threads       How many threads torch computes with
truncation    Truncation: a LoRA made smaller, layer by layer, with the error that this costs
weights       How strong each input is in a merge: as a whole, in a block, in the text encoders
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
