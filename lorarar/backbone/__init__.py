"""A frozen diffusion model of any family behind a few functions: encode, add noise, predict, sample."""

from lorarar.backbone.backbone import Backbone
from lorarar.backbone.conditioning import Conditioning, stack
from lorarar.backbone.loading import load_backbone

__all__ = ["Backbone", "Conditioning", "load_backbone", "stack"]
