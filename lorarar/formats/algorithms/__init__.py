"""Algorithms that compute a layer's delta from the tensors in a file: LoRA, LoHa, LoKr, DoRA, ...

dora     DoRA, W0 + dW' = m (W0 + dW) / |W0 + dW|
full     Deltas that are stored entry by entry: LyCORIS' "full" and "norm", and biases
glora    GLoRA as LyCORIS stores it, dW = gamma (W0 a1 a2 + b1 b2)
ia3      IA3 as LyCORIS stores it, dW = W0 * weight
layer    Algorithms that make a layer's delta of the tensors in a file: one module a family
loha     LoHa, dW = gamma (w1_a w1_b) * (w2_a w2_b), * entry by entry
lokr     LoKr, dW = gamma kron(w1, w2), each of the two a matrix or a product of thin ones
lora     LoRA and LoCon, dW = gamma up down, and LoCon's Tucker form, dW = gamma mid x_1 up x_2 down
oft      OFT and BOFT, dW = rescale R W0 - W0 with an orthogonal R: the base's rows are rotated
parts    A layer's parts made ready for arithmetic, with what every algorithm checks
roles    What the parts of a layer are called in files, and which parts make a whole
scaling  gamma, the number that multiplies a layer's delta
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
