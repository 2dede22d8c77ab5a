"""Files on disk: atomic writing, text formats, hashes, caches, run folders, cards, configurations, locations.

atomic       Atomic writing: a file appears whole or not at all
cache        Cache on disk: results under the digest of all that they depend on
cards        Cards: how an artefact was made, and the hash that it must have
config       Configurations: dataclasses filled from YAML and key=value overrides
hashing      Hashes of files (sha256) and of plain data (digest)
locations    Locations: files inside the package, the embedded default, paths and hub ids
old_names    Old names: one table of renamed keys, for files of earlier versions
run_folder   Run folder: the settings that a run was started with, so that only the same run resumes
suggestions  Suggestions: errors about unknown names with "did you mean .."
text         Text files: text, JSON, JSON lines and CSV, each written in one step
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
