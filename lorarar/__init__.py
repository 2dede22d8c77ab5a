"""lorarar merges content and style LoRAs with a hypernetwork: train it, merge in one pass, score the images.

benchmark/     Measurements: mergers by their images, speed side by side, gates of the embedded default, the demo
cli/           The command line: parse, call one core function, print what it returned
datasets/      Concepts with their images, splits, prompts and manifests
diffusion/     The frozen diffusion model: load, adapt with LoRAs, add noise, predict, sample
evaluation/    Scores of images: a multimodal judge, feature metrics, statistics and their reports
formats/       LoRA files: every dialect read exactly, three dialects written
hypernetwork/  Learned mergers: networks and constants that yield the coefficients of a merge
lora/          A LoRA in memory: layers, factors, coefficients and the exact merge
mergers/       Mergers: the table of methods, and merging in memory and from file to file
storage/       Files on disk: atomic writing, text formats, hashes, run folders, cards, configurations
training/      Training of LoRAs and of mergers
workflows/     From a configuration to a finished run
worlds/        The embedded default: a small world with known truth
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
