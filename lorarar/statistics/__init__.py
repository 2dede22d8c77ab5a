"""Intervals, paired tests and agreement, for scores of crossed pairs. numpy only."""

from lorarar.statistics.agreement import auc, cohen_kappa, krippendorff_alpha, raw_agreement
from lorarar.statistics.bootstrap import Estimate, crossed_interval, incomplete_crossed_interval, paired_interval
from lorarar.statistics.comparisons import holm, mcnemar, sign_flip, tied_set
from lorarar.statistics.correlation import crossed_spearman, spearman
from lorarar.statistics.proportions import Rate, best_of_k, corrected, rogan_gladen, rogan_gladen_joint, wilson
from lorarar.statistics.strengths import Strengths, bradley_terry, bradley_terry_intervals

__all__ = [
    "Estimate",
    "Rate",
    "Strengths",
    "auc",
    "best_of_k",
    "bradley_terry",
    "bradley_terry_intervals",
    "cohen_kappa",
    "corrected",
    "crossed_interval",
    "crossed_spearman",
    "holm",
    "incomplete_crossed_interval",
    "krippendorff_alpha",
    "mcnemar",
    "paired_interval",
    "raw_agreement",
    "rogan_gladen",
    "rogan_gladen_joint",
    "sign_flip",
    "spearman",
    "tied_set",
    "wilson",
]
