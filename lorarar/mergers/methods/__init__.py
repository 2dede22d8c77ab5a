"""Methods: closed-form mergers, and mergers that act while sampling.

average  Average: the mean of the deltas
direct   Direct merge: the weighted sum of the deltas, exact
klora    K-LoRA: in each sampling step each layer takes either the content or the style
knots    KnOTS: deltas aligned in one basis before they are pruned and averaged
layers   Layers: a merger of the kind "delta", run over all layers
linear   Linear: the factor-wise merge of peft, for comparison
np_lora  NP-LoRA: a projection that removes the style's subspace from the content
pruning  Pruning: TIES, DARE, DELLA and breadcrumbs
svd      SVD: the truncated sum
switch   Switch and composite: LoRAs composed while sampling, in turn or all at once
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
