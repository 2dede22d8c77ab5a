"""Hypernetworks and constants: the learned mergers, which compute the coefficients of a merge.

build           Construction: new learned mergers, sized for a base model
checkpoint      Checkpoints: files of learned mergers, with the kind and the configuration in the header
constant        Constant merger: learned coefficients that do not depend on the LoRAs
features        Features: inputs of our own network, from layer paths and deltas
hub             Hub: learned mergers in folders and on the Hugging Face hub
kinds           Kinds of learned mergers: one table, readable without torch
layerwise       Layerwise network: our hypernetwork, one coefficient for each layer and LoRA
networks/       Shipped networks: weights and cards
paper           Paper network: the hypernetwork of LoRA.rar, one coefficient for each column
released        Released networks: the files of the authors of LoRA.rar
shipped         Shipped networks: the one for each family of base models
training_range  Training range: which LoRAs a network was trained on, in numbers
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
