"""Metrics from the features of an encoder: fidelity, controllability, diversity, base preservation.

cleaning     Prompt cleaning: removal of trigger words, which have no meaning for a text encoder
distribution Distribution: features that the cache lacks, computed by the workers of an engine
encoders/    Encoders of images and texts
encoding     Encoding: features of all images, references and prompts that are to be scored
export       Export of a measurement: metrics.json, metrics.csv, metrics.md and one plot per prompt type
features     Features of image files: safe decoding, one encoding per file, a cache
flags        Flags: images with faults that a similarity rewards
measures     Measures: pure functions of features, with numpy only
plots        Plots of results: one picture per prompt type
ranking      Ranks: methods compared within each pair, so that metrics on different scales can be averaged
reasons      Reasons for gaps: why a metric was not measured, and what to do about it
results      Results of methods: means with intervals, ranks and shares of flagged images
run          Run of `lorarar metrics`: from a configuration to the files of a measurement
scoring      Scoring: from features to the scores of images and of pairs
settings     Settings of `lorarar metrics`, readable without torch
table        Table: every metric with its function
unlike       Unlike images: images of another sort than an encoder knows are refused
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
