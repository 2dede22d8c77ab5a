"""Command line: parse, call one core function, print what it returns.

analogy         Analogy commands: train a basis of LoRAs, answer analogies, measure the answers
benchmark       Benchmark commands: gates, quality, and speed
choosing        Choosing commands: recommend, preview, mergers
commands        Commands: classes of commands and groups
configs         Configuration commands: list, copy and check
configurations  Configured commands: a YAML file and key=value arguments
data            Data commands: write the manifest of a folder of images, check a manifest and its images
doctor          Doctor command: what works here, and what is missing for what
errors          Errors: one line for each, and the exit code
exit_codes      Exit codes: what the number means that a command ends with
files           File commands: inspect, convert
help            Help: the pages that --help prints
images          Image commands: generate, demo
judge           Judge commands: score images by a multimodal model
judge_options   Options of the judge's commands, as types of parameters
library         Library commands: index folders of LoRA files, search, cluster, find duplicates, attribute merges
main            Command line: the group of all commands, and the way from an error to an exit code
merge           Merge command: merge LoRA files into one LoRA file
merge_folders   Merge of two folders: the plan of all pairs, then the pairs
metrics         Metrics command: score images with an encoder
options         Options that several commands share
score           Score command: judge and metrics of a folder of images, on one page
studio          Studio command: the web page
training        Training commands: synthesise, dreambooth, zoo, train
usage           Usage errors: what is wrong with a command line
values          Values: what the value of an option may be
verify          Verify command: check a merged file against its inputs
world           World commands: the stages that create the embedded default
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
