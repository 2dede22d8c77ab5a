"""Algorithms that are trained: the initial parts of a layer, and its delta for many LoRAs at once.

The parts have the roles and shapes of LyCORIS' files, so a file holds what was trained, and
`lorarar.formats.algorithms` computes the same delta from it, one LoRA at a time.

dora    DoRA, LoRA with a learned magnitude of each row
full    Full deltas, entry by entry, of weights and biases
glora   GLoRA, a low-rank delta and a low-rank multiple of the base's weight
ia3     IA3, a learned factor for each row or input channel
loha    LoHa, the product of two low-rank deltas, entry by entry
lokr    LoKr, the Kronecker product of two matrices
lora    LoRA and LoCon, also in Tucker form
oft     Diag-OFT and BOFT, rotations of the base's rows
parts   Parts of a layer: random beginnings, the Tucker form, and the check of a rank
table   Table of the algorithms
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
