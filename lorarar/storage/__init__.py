"""Files on disk: atomic writing, text formats, hashes, caches, run folders, cards, configurations, locations.

atomic        Atomic writing: a file appears whole or not at all
cache         Cache on disk: results under the digest of all that they depend on
cards         Cards: how an artefact was made, and the hash that it must have
config        Configurations: dataclasses filled from YAML and key=value overrides
config_check  Check of settings: every mistake at once, and the inputs that do not exist
config_files  Configuration files: those that are shipped, with command and purpose, and copies
hashing       Hashes of files (sha256) and of plain data (digest)
libraries     Libraries: their notices are off, a missing one is an error, and what to try when memory runs out
locations     Locations: files inside the package, the embedded default, paths and hub ids
old_names     Old names: one table of renamed keys, for files of earlier versions
plugins       Plugins: modules of a user that add rows to the package's tables
progress_bar  Progress: one live bar on stderr for the stages of the work
run_folder    Run folder: the settings that a run was started with, so that only the same run resumes
schema_keys   Keys of a configuration as data: name, type, default and documentation
setting_types Types of settings: paths that must exist, numbers with a lower bound
suggestions   Suggestions: errors about unknown names with "did you mean .."
text          Text files: text, JSON, JSON lines and CSV, each written in one step
units/        Units: many pieces of idempotent work, in this process, on Ray, or as an array under SLURM
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
