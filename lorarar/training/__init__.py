"""Training of LoRAs and of mergers on a frozen base.

algorithms/      Algorithms that are trained: initial parts of a layer, and its delta for many LoRAs at once
batches          Batches of a concept: its encoded images at random timesteps with random noise
callbacks        Callbacks of a merger's training: the best merger's file, histograms and image grids
history          History of a merger's training: losses, validated values and seconds, and their curve
layers           Layers that are trained: linear layers and convolutions of a base that a recipe names
merger_training  Training of any learned merger: a constant, the coefficients of one pair, or a hypernetwork
null_space       Null space: how much of each layer's input a LoRA does not see, as a term of the objective
pair_optimiser   Pair optimiser: the coefficients of two LoRAs from a base and the user's inputs
pair_training    Pair training: the coefficients of many pairs in one batch
pairs            Pairs that a merger is trained on: LoRAs, cached encodings, and a batch for each step
peft_training    Training of one LoRA with peft: the reference that training in a batch must equal
settings         Settings of training, readable without torch
targets          Targets of a merged model: inputs of each term, and the teachers' predictions
trained_range    Trained range: the numbers of its training LoRAs in a merger's header
trainer          Trainer: run a LightningModule for a number of steps, with checkpoints and resume
units            Units: the trained parts of many LoRAs of one recipe, stacked
zoo              Zoo: many LoRAs at once, in one process and one batch, each equal to one that is trained alone
zoo_files        Files of a zoo: each LoRA with its card, and which of them are finished
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
