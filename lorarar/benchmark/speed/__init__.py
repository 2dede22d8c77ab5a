"""Speed, measured side by side in one run: merging, training, prediction, the LoRA zoo.

cases          Cases: base model, pairs of LoRAs and noisy images that the benchmarks run on
floor          Floor: the least work that merges two files
launch         Launcher: seconds and peak memory of a command, measured from a small process
machine        Machine: hardware and versions of a measurement; clocks and memory
merge          Merge benchmark: merging against the released code's dense formulation and the speed of the disk
once           Single measurement: one merge of two loaded LoRAs in a process of its own
processes      Processes: whole commands of a user beside the floor
random_base    Random base: a backbone of a family's true shapes with random weights
released_step  Released step: a training step of LoRA.rar as its authors' release computes it
speedup        Speedup: a hypernetwork's prediction against ZipLoRA's optimisation
synthetic      Synthetic LoRAs: random factors in the shapes of real LoRAs
training       Training speed: our training step against the released formulation's
zoo            Zoo: many LoRAs in one batch against one by one with peft, on the CPU
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
