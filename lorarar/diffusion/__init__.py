"""Frozen base model: loading, adaptation with LoRAs, noise, predictions, sampling.

adaptation    LoRAs in a frozen model: temporary forward hooks, one LoRA or one for each share of the batch
architecture  Architecture of a pipeline's class, as names and functions
backbone      Backbone: the parts of a pipeline as functions of tensors, whatever its family
composition   Composition of LoRAs while sampling, a new schedule entry at each step
conditioning  Conditioning: encoded prompts in the form that every family's denoiser takes
editing       Editing bases: denoisers that also see clean latents of condition images
generation    Generation: images of a prompt by a base and LoRAs, in memory or as files
loading       Loading of base models from folders and hubs
noise         Noise schedule: how noise is added and what the model predicts
prompt_sets   Images of a whole prompt set, and their manifest
sampling      Images of (LoRA, prompt, seed): deterministic, many LoRAs in one batch
settings      Settings of sampling, readable without torch
signals       Signals: what each LoRA receives inside the base when it draws its own prompt
stacks        Stacks: the deltas of one layer for n shares of the batch, as forward hooks
synthesis     Synthetic images: the base alone samples them from prompts
transformer   Pipelines with a flow-matching transformer: Stable Diffusion 3 and FLUX
unet          Pipelines with a UNet: Stable Diffusion 1.5, and Stable Diffusion XL with KOALA
"""

import lazy_loader

from lorarar.storage import quiet_libraries

quiet_libraries()  # here, since diffusers and transformers print notices while they are imported

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
