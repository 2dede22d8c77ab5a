"""Speed, measured side by side in one run: merging, training, prediction, the LoRA zoo.

cases          What the speed benchmarks run on
floor          The least that merging two files takes
launch         Seconds and peak memory of a command, from a process that is small itself
machine        What a measurement was taken on
merge          Merging against the released code's dense formulation and against the speed of the disk, side by si
once           One merge of two loaded LoRAs, timed in a process of its own, whose peak memory is then the merge's
released_step  A training step of LoRA.rar as its authors' release computes it, written from its description
speedup        From loaded LoRAs to coefficients
synthetic      Random LoRAs in the shapes of real ones
training       Our training step against the released formulation's
zoo            Many LoRAs in one batch against one by one with peft, on the CPU
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
