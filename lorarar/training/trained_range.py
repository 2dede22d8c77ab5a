"""Trained range: the numbers of its training LoRAs in a merger's header, against which merges check their LoRAs."""

from __future__ import annotations

from pathlib import Path

import torch

from lorarar.hypernetwork import RANGE_KEY, load_network, observe_range, save_merger
from lorarar.training.batches import step_generator
from lorarar.training.pairs import PairData

_PAIRS = 100  # that are measured at most: every pair has LoRAs of its own, and a sample shows their range


def state_range(path: Path, data: PairData) -> None:
    """Add the range of the training LoRAs to the header of a trained merger; its weights stay as they are.

    Args:
        path: The merger's file; its header names the base.
        data: The pairs that it was trained on.
    """
    network = load_network(path)
    order = torch.randperm(len(data.train_pairs), generator=step_generator("range"))[:_PAIRS].tolist()
    pairs = (data.sampler.loras_of(data.train_pairs[i]) for i in order)
    module = network.module.to(data.backbone.device)
    bases = [network.metadata["base"]] if "base" in network.metadata else []
    found = observe_range(module, pairs, bases, data.weight_jitter)
    save_merger(module.cpu(), path, {**network.metadata, RANGE_KEY: found.as_text()}, force=True)
