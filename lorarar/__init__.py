"""lorarar merges content and style LoRAs: train a hypernetwork, merge in one pass, score the images.

`from lorarar import load, merge, save, mergers`: read files, merge them by any method, write the result.

The package consists of rooms; the docstring of each room maps its files. A room imports only from rooms above it:

storage       Files on disk: atomic writing, hashes, run folders, configurations
lora          LoRA in memory: layers, factors, coefficients and the exact merge
formats       LoRA files in every dialect: reading, writing, conversion and inspection
hypernetwork  Learned mergers: networks and constants that compute the coefficients of a merge
mergers       Mergers: the catalogue of methods, and merging in memory and from files to a file
datasets      Data sets: concepts with their images, splits, prompts and manifests
evaluation    Evaluation of images: a multimodal judge, feature metrics, statistics, reports
diffusion     Frozen base model: loading, adaptation with LoRAs, noise, predictions, sampling
training      Training of LoRAs and of mergers
worlds        Worlds: the embedded default, a small world with known truth
workflows     Workflows: from a configuration or a request to a finished run
benchmark     Benchmark: quality, speed, gates, demo
cli           Command line
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
