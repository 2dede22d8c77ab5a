"""Asking, from a manifest to replies: questions, run folder, log of replies, back ends.

backends/      Back ends: sources of answers
cost           Cost of a plan: calls, images, tokens, price and time
descriptions   Descriptions: one question that asks in words what several images have in common
perturbations  Perturbations: changes of a question that should not change its answer
planning       Planning: from a manifest, references and a rubric to questions
reply_log      Reply log: replies on disk as JSON lines, and the verdicts that are parsed from them
rubrics/       Rubrics: the questions that a judge answers, as versioned data
run_folder     Run folder: the plan of a judging run, locked with hashes, and the identity of its judge
runner         Runner: it sends the missing questions in threads and stores every reply at once
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
