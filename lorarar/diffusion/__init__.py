"""The frozen diffusion model: load, adapt with LoRAs, add noise, predict, sample.

adaptation    A frozen model that answers, for a while, as if LoRAs were part of it
architecture  What a backbone must know of a pipeline's class
backbone      A frozen diffusion model behind a few functions, whatever its family
composition   Mergers that act while sampling
conditioning  Encoded prompts, as every family's denoiser takes them
loading       Base models from folders and hubs
noise         How noise is mixed into latents and what a model predicts of it
prompt_sets   The images of a whole prompt set, and the manifest that the judge and the metrics read
sampling      Images for (LoRA, prompt, seed): deterministic, many LoRAs in one batch
synthesis     What the base itself draws from words
transformer   Pipelines around a transformer that learns a flow: Stable Diffusion 3 and FLUX
unet          Pipelines around a UNet
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
