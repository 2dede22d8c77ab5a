"""Scores of images: a multimodal judge, feature metrics, statistics and their reports.

judge/       Judge: a multimodal model answers questions about images, and every reply is kept
metrics/     Metrics from an encoder's features: fidelity, controllability, diversity, base preservation
report/      Parts that the pages and tables of the judge and of the metrics share
statistics/  Intervals, paired tests and agreement for scores of crossed pairs; numpy only
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
