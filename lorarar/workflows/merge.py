"""Merges that need a base model: a request is executed with an optimiser for its pair."""

from __future__ import annotations

from lorarar.mergers import FileMerge, MergeSummary, check_outputs, merge_files
from lorarar.training import PairOptimiser


def merge_on_base(job: FileMerge) -> MergeSummary:
    """Merge two LoRA files by a merger that optimises each pair on a base model.

    The folder for checkpoints is deleted once the result is written; an interrupted merge resumes from it.

    Args:
        job: Its request names the base model and the pair's inputs.

    Returns:
        As `lorarar.mergers.merge_files`.

    Raises:
        FileNotFoundError: There is no base model, or a folder holds no images.
        FormatError: A file cannot be read or written.
        ValueError: Something is missing, or is given to a merger that does not use it.
    """
    check_outputs(job)
    job.request.check()
    job.request.check_pair()
    optimiser = PairOptimiser(str(job.request.base), job.request.pair, job.request.device)
    summary = merge_files(job, optimiser, optimiser.facts())
    optimiser.finish()
    return summary
