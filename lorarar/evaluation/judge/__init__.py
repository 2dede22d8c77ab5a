"""The judge: a multimodal model answers questions about images, and every reply is kept.

ask/          From a manifest to replies: questions, plan, run folder, cache of replies, back ends
compare/      From scores of images to scores of methods and their comparisons
compare_runs  Several judges of the same images: how far do their verdicts agree?
plan          Before anybody is asked: what a folder of images comes to in questions, calls and cost
read/         From raw replies to verdicts and scores of images
records       What the judge's parts hand to each other. Plain data, JSON in and out
report/       The report of a judging run
run           One judging run from its folder: calibrate, ask, read the verdicts, export
trust/        How far a judge can be trusted: calibration, gate, consistency, agreement with people
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
