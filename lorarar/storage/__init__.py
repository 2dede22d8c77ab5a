"""Files on disk: atomic writing, text formats, hashes, caches, run folders, cards, configurations, locations.

atomic       atomic writing: a file appears whole or not at all
cache        a cache on disk: results under the digest of all that they depend on
cards        cards: how an artefact was made, and the hash that it must have
config       configurations: dataclasses filled from YAML and key=value overrides
hashing      hashes of files (sha256) and of plain data (digest)
locations    files inside the package, the embedded default, paths and hub ids
old_names    one table of renamed keys, for files of earlier versions
run_folder   the settings that a run was started with; only the same run resumes
suggestions  errors about unknown names: "did you mean .."
text         text, JSON, JSON lines and CSV, each written in one step
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
