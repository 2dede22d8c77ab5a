"""Benchmark: mergers by their images, speed side by side, size, gates of the embedded default, the demo.

analogies/    Analogies: answers of bases of LoRAs against exact truth
ceiling       Ceiling: the best that coefficients can reach, fitted to true renders
demo          Demo: the main job on the embedded default
embedded      Embedded default as shipped, each part checked against its card
gate_settings Settings of the gates, readable without torch
gates         Gates: whether the embedded default can rank merge methods
judged        Judged scores: a judge's scores of the images of methods
methods       Scores of merge methods on the pairs of a split
quality/      Quality: every merger on the pairs of a split, scored by its images
size/         Size: memory and operations of the work on full-size bases, counted without weights
speed/        Speed, measured side by side in one run: merging, training, prediction, the LoRA zoo
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
