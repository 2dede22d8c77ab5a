"""Command line: parse, call one core function, print what it returns.

benchmark       Benchmark commands: gates, quality, and speed
configurations  Configured commands: a YAML file and key=value arguments
files           File commands: inspect, convert, mergers
help            Help: parsers whose help shows the default of every option
images          Image commands: generate, demo
judge           Judge commands: score images by a multimodal model
main            Command line: the parser of all commands, errors and exit codes
merge           Merge command: merge LoRA files into one LoRA file
metrics         Metrics command: score images with an encoder
options         Options that several commands share
training        Training commands: synthesise, dreambooth, zoo, train
world           World commands: the stages that create the embedded default
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
