"""Mergers: the table of methods, and merging in memory and from file to file.

accelerators  Accelerators: LoRAs that let a base sample in a few steps, which a merge keeps as they are
balance       Balance: LoRAs brought to one length, layer by layer, before they are merged
choice        Choice: the method that merges LoRAs, its network, and the reason
combination   Combination: merge LoRAs in memory, by any method of the table
descriptions  Descriptions: what each merger does, needs, takes and leaves, for its readers
files         Files: merge LoRA files into a file
input_checks  Input checks: LoRAs outside a network's training, or of very different lengths
loss_weights  Loss weights: weights of the objective's terms
methods/      Closed-form mergers, and mergers that act while sampling
noise_pairs   Noise pairs: LoRAs in two files, one for high and one for low noise, as for Wan 2.2
objective     Objective: the losses that learned mergers minimise
optimised/    Mergers that optimise the coefficients of each pair, as data
plan          Plan: what a merge of files would do, without doing it
report        Report: what a merge of files did, as plain data and as text
request       Requests: what a merge does, as data
request_text  Request text: blocks and settings as people type them
table         Table: every merger with its function, readable without torch
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
