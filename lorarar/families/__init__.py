"""Families of base models, and how a LoRA's layers tell its family.

A LoRA fits the models of one family only. The family is told by the layers' paths and shapes; what the header says
decides only where several families would fit.
"""

from lorarar.families.detection import check_same_family, choose, detect, fitting
from lorarar.families.table import FAMILIES, SGM_LAYERS_PER_BLOCK, Family

__all__ = ["FAMILIES", "SGM_LAYERS_PER_BLOCK", "Family", "check_same_family", "choose", "detect", "fitting"]
