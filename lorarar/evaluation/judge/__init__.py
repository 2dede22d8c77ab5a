"""Judge: a multimodal model answers questions about images, and every reply is kept.

ask/            Asking, from a manifest to replies: questions, run folder, log of replies, back ends
by_name         Judge by name: the back end is opened, and asks in this process or in the workers of an engine
compare/        Comparison of methods: from scores of images to scores of methods, with tests
describer/      The embedded describer: weights, tokenizer and processor
embedded/       The embedded judge: weights, tokenizer and processor
judgement       Judgement: plan, ask and report in one call, with the scores of each method
plan            Plan of a judging run: the questions about a folder of images, their number and their cost
read/           Reading of replies: from raw replies to verdicts and scores of images
records         Records of the judge: questions, replies and verdicts
report/         Report of a judging run
run             Judging run: calibrate, ask and parse the verdicts, all in one folder
run_comparison  Comparison of runs: the agreement of several judges about the same images
trust/          Trust in a judge: calibration, gate, consistency, agreement with people
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
