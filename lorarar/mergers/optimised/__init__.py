"""Optimised mergers: methods that optimise the coefficients of each pair, as data.

cat          CAT: one learned coefficient for each LoRA and layer
nsc          NSC: one coefficient for each LoRA and layer, by what each LoRA does not see of its inputs
pair_method  Pair method: what is optimised, with which objective and recipe
recipe       Recipe: steps, learning rate, weight decay, clip and schedule of an optimisation
text_guided  Text-guided merger: one coefficient for each LoRA and layer, by distillation from descriptions
ziplora      ZipLoRA: one coefficient for each LoRA and column, in two published variants
ziprank      ZipRank: one coefficient for each LoRA and direction of its rank
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
