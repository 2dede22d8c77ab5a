"""From a manifest to replies: questions, plan, run folder, cache of replies, back ends.

backends/  Back ends: whatever answers the questions
folder     The folder of one judging run: what was planned, locked with hashes, and who answers
perturbations  Ways to ask the same that should not change the answer
planning   From manifest, references and rubric to questions, and what asking them would cost
rubrics/   Rubrics: the questions that a judge answers, as versioned data
runner     Asks what is missing, in threads, and keeps every reply the moment it is there
store      Replies on disk
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
