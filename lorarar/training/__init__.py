"""Training of LoRAs and of mergers.

batches          What a training step sees of a concept
callbacks        What a merger's training keeps and shows
dreambooth       Train LoRAs by DreamBooth: one with peft, or the pieces that the zoo trains many with
merger_training  Train any learned merger: a constant, the coefficients of one pair, or a hypernetwork
pair_optimiser   What optimises two LoRAs from files
pair_training    Optimise the coefficients of pairs
pairs            The pairs that a merger is trained on: LoRAs, cached encodings, and a batch for each step
targets          What a merged model is asked in a training step, and what its teachers answer
trainer          Run a LightningModule for a number of steps, with checkpoints and resume
zoo              Train many LoRAs at once, in one process and one batch, each equal to the one peft would train al
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
