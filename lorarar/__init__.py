"""lorarar merges content and style LoRAs: train a hypernetwork, merge in one pass, score the images.

The package offers these names; each is imported when it is first used, so that `import lorarar` takes no time:

load, save    Read and write a LoRA file of any dialect
merge         Merge LoRAs, paths or hub ids into one LoRA, by any method
generate      Generate images from a base, LoRAs and a prompt
inspect       Report on a LoRA file, or compare two
judge         Score a folder of images by a multimodal model
MERGERS       Every method by name, with its needs, options and citation
load_plugin   Add methods, networks, metrics and more from a Python file
__version__   Version of the installed package

The package consists of rooms; the docstring of each room maps its files. A room imports only from rooms above it:

storage       Files on disk: atomic writing, hashes, run folders, configurations
lora          LoRA in memory: layers, factors, coefficients and the exact merge
formats       LoRA files in every dialect: reading, writing, conversion and inspection
hypernetwork  Learned mergers: networks and constants that compute the coefficients of a merge
mergers       Mergers: the table of methods, and merging in memory and from files to a file
datasets      Data sets: concepts with their images, splits, prompts and manifests
evaluation    Evaluation of images: a multimodal judge, feature metrics, statistics, reports
diffusion     Frozen base model: loading, adaptation with LoRAs, noise, predictions, sampling
training      Training of LoRAs and of mergers
library       Library: an index of LoRA files to search, cluster, deduplicate and attribute merges to
analogies     Analogies: a basis of LoRAs with a router, from three images to the fourth
worlds        Worlds: the embedded default, a small world with known truth
workflows     Workflows: from a configuration or a request to a finished run
benchmark     Benchmark: quality, speed, gates, demo
studio        Studio: a web page to look at LoRAs, merge, preview, save and compare them blind
cli           Command line
"""

import lazy_loader

_attribute, _names, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __dir__() -> list[str]:
    """Return the names of the package."""
    return [*_names(), "__version__"]


def __getattr__(name: str) -> object:
    """Return a name of the package, imported now; see `lazy_loader`."""
    if name == "__version__":
        from lorarar.storage import lorarar_version

        return lorarar_version()
    return _attribute(name)
