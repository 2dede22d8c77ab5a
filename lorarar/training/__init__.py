"""Training of LoRAs and of mergers on a frozen base.

batches          Batches of a concept: its encoded images at random timesteps with random noise
callbacks        Callbacks of a merger's training: the best merger's file, histograms and image grids
dreambooth       DreamBooth training of one LoRA with peft, and the parts that the zoo shares
history          History of a merger's training: losses, validated values and seconds, and their curve
merger_training  Training of any learned merger: a constant, the coefficients of one pair, or a hypernetwork
pair_optimiser   Pair optimiser: the coefficients of two LoRAs from a base and the user's inputs
pair_training    Pair training: the coefficients of many pairs in one batch
pairs            Pairs that a merger is trained on: LoRAs, cached encodings, and a batch for each step
settings         Settings of training, readable without torch
targets          Targets of a merged model: inputs of each term, and the teachers' predictions
trained_range    Trained range: the numbers of its training LoRAs in a merger's header
trainer          Trainer: run a LightningModule for a number of steps, with checkpoints and resume
zoo              Zoo: many LoRAs at once, in one process and one batch, each equal to one that peft trains
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
