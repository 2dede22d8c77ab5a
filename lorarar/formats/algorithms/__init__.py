"""Algorithms that compute a layer's delta from the tensors in a file: LoRA, LoHa, LoKr, DoRA, ...

dora     DoRA, W0 + dW' = m (W0 + dW) / |W0 + dW|
full     Full deltas, stored entry by entry: LyCORIS' "full" and "norm", and biases
glora    GLoRA as stored by LyCORIS, dW = gamma (W0 a1 a2 + b1 b2)
ia3      IA3 as stored by LyCORIS, dW = W0 * weight
layer    Layer deltas: the choice of the algorithm for the parts of a layer
loha     LoHa, dW = gamma (w1_a w1_b) * (w2_a w2_b), * entry by entry
lokr     LoKr, dW = gamma kron(w1, w2), each a matrix or a product of thin matrices
lora     LoRA and LoCon, dW = gamma up down, and LoCon's Tucker form, dW = gamma mid x_1 up x_2 down
oft      OFT and BOFT, dW = rescale R W0 - W0 with an orthogonal R: a rotation of the base's rows
parts    Parts of a layer: their preparation for arithmetic, and checks for all algorithms
roles    Roles of the parts in files, and the sets of parts that each algorithm needs
scaling  Scaling: gamma, the factor of a layer's delta
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
