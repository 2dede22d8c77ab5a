"""Methods: closed-form mergers, and mergers that act while sampling.

auto          Auto: the sum of balanced LoRAs with less of their self-attention, the default for any files
average       Average: the mean of the deltas
direct        Direct merge: the weighted sum of the deltas, exact
est_lora      EST-LoRA: in each sampling step each layer takes either the content or the style, by their energies
fixed_blocks  Fixed blocks: each LoRA only in the blocks that draw its part
iso           Iso-C and Iso-CTS: the sum with equal singular values
kl_choice     KL choice: in each sampling step each layer takes the LoRA that changes its output more
klora         K-LoRA: in each sampling step each layer takes either the content or the style
knots         KnOTS: deltas aligned in one basis before they are pruned and averaged
layers        Layers: a merger of the kind "delta", run over all layers
linear        Linear: the factor-wise merge of peft, for comparison
np_lora       NP-LoRA: a projection that removes the style's subspace from the content
pruning       Pruning: TIES, DARE, DELLA and breadcrumbs
spectra       Spectra: singular vectors of deltas, shared by TSV-M, Iso-C, Iso-CTS and SVC
ssr           SSR-Merge: signals of all LoRAs, decorrelated and led to their own LoRA
step          Step: what acts in one sampling step
svc           SVC: singular value calibration, a step after any merge
svd           SVD: the truncated sum
switch        Switch and composite: LoRAs composed while sampling, in turn or all at once
tsv_m         TSV-M: the singular vectors of all deltas, made orthogonal to each other
windows       Windows: content early, style late, no LoRA in the unconditional pass
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
