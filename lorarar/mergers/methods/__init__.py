"""Closed-form mergers, and those that act while sampling.

average  Average: the mean of the deltas
direct   Direct merge: the weighted sum of the deltas, exact
klora    K-LoRA
knots    KnOTS: aligns the deltas in one basis before they are pruned and averaged
layers   Runs a merger of the kind "delta" over all layers, one at a time
linear   The "linear" merge of peft, on the factors
np_lora  NP-LoRA: takes the style's subspace out of the content before they are added
pruning  TIES, DARE, DELLA, breadcrumbs
svd      Truncated sum: the best approximation of a given rank
switch   Multi-LoRA composition while sampling: in turn, or all at once
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
