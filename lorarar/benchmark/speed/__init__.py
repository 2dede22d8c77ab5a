"""Speed: measured side by side in one run: merging, training, prediction, the LoRA zoo.

cases          Base model, pairs of LoRAs and noisy images that the benchmarks run on
floor          The least work that merges two files
launch         Seconds and peak memory of a command, measured from a small process
machine        What a measurement was taken on; clocks and memory
merge          Merging against the released code's dense formulation and against the speed of the disk
once           One merge of two loaded LoRAs, measured in a process of its own
released_step  A training step of LoRA.rar as its authors' release computes it
speedup        A hypernetwork's prediction against ZipLoRA's optimisation
synthetic      Random LoRAs in the shapes of real ones
training       Our training step against the released formulation's
zoo            Many LoRAs in one batch against one by one with peft, on the CPU
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
