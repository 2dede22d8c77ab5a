"""Feature metrics: name, direction and number format of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FeatureMetric:
    """A metric of encoder features.

    Attributes:
        better: The direction of a better value.
        whole: Whether it is a property of all images of a pair together, not a mean over single images.
        form: The format of its numbers; a Gram loss may be of any magnitude.
    """

    title: str
    better: Literal["up", "down"]
    whole: bool = False
    form: str = ".3f"

    @property
    def sign(self) -> int:
        """The factor, 1 or -1, after which a larger value is better."""
        return 1 if self.better == "up" else -1


FEATURE_METRICS = {
    "content_cosine": FeatureMetric("content fidelity, cosine", "up"),
    "content_centroid": FeatureMetric("content fidelity, centroid", "down", whole=True),
    "style_cosine": FeatureMetric("style fidelity, cosine", "up"),
    "style_centroid": FeatureMetric("style fidelity, centroid", "down", whole=True),
    "style_gram": FeatureMetric("style fidelity, Gram", "down", form=".4g"),
    "harmonic": FeatureMetric("content and style, harmonic mean", "up"),
    "controllability": FeatureMetric("controllability", "up"),
    "diversity": FeatureMetric("diversity, Vendi", "up", whole=True),
    "base_preservation": FeatureMetric("base preservation, Gram", "down", form=".4g"),
}

FLAGS = {
    "content_leak": "nearly a style reference, so its content leaks in",
    "copy": "nearly a content reference, copied with its look",
    "unstylised": "no nearer to the style than the content's own references",
}
