"""The command line: parse, call one core function, print what it returned.

benchmark       Commands that measure
configurations  Commands whose settings are a YAML file and key=value words
files           Commands about files: inspect, convert, mergers
images          Commands that make images: generate, demo
judge           Commands that score images by a multimodal model
main            The command line: parse, call one core function, print what it made
merge           The command that merges
metrics         The command that scores images with an encoder: `lorarar metrics CONFIG`
options         Words of the form NAME=NUMBER
training        Commands that train: imagine (what to train on), dreambooth, zoo, train
world           Commands that make the parts of the embedded default
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
