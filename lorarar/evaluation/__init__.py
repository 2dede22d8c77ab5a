"""Evaluation of images: a multimodal judge, feature metrics, statistics and their reports.

judge/       Judge: a multimodal model answers questions about images, and every reply is kept
metrics/     Metrics from the features of an encoder: fidelity, controllability, diversity, base preservation
report/      Report parts that the judge and the metrics share: pages, tables, names of metrics
statistics/  Statistics of scores: intervals, paired tests and agreement for scores of crossed pairs; numpy only
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
