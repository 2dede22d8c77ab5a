"""lorarar merges content and style LoRAs: train a hypernetwork, merge in one pass, score the images.

`from lorarar import load, merge, save, mergers`: read files, merge them by any method, write the result.

The package is a house of rooms; each room's docstring maps its files. A room imports only from rooms above it:

storage       files on disk: atomic writing, hashes, run folders, configurations
lora          a LoRA in memory: layers, factors, coefficients and the exact merge
formats       LoRA files in every dialect, read, written, converted and inspected
hypernetwork  learned mergers: networks and constants that yield the coefficients of a merge
mergers       the catalogue of methods; merging in memory and from files to a file
datasets      concepts with their images, splits, prompts and manifests
evaluation    a multimodal judge, feature metrics, statistics, reports
diffusion     the frozen base model: load, adapt with LoRAs, add noise, predict, sample
training      training of LoRAs and of mergers
worlds        the embedded default: a small world with known truth
workflows     from a configuration or a request to a finished run
benchmark     measurements: quality, speed, gates, demo
cli           the command line
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
