"""Training data of the tiny judge: pairs of images, reference and test, whose attributes are known.

A pair serves every question: whether subject, style or one attribute agree, and what an image shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Generic

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from lorarar.worlds.toy.attributes import CONTENT_ATTRIBUTES, Member, Style, Subject, neutral_looks, truth
from lorarar.worlds.toy.judge.negatives import DEGENERATES, render_collage
from lorarar.worlds.toy.renderer import SIZE, RenderedImage, render
from lorarar.worlds.toy.world import toy_world

TRAINING_SETS = ("base", "train")  # sets of subjects and styles that training may use
_BORDER = len(CONTENT_ATTRIBUTES)
_DEGENERATE, _COLLAGE, _COPY = 0.10, 0.07, 0.03  # shares of all pairs
_SAME = 0.45  # of the others, on each axis
_FEW = (0.75, 0.25)  # shares of near members that differ in one attribute alone, and in up to two
_BATCH = 256


class Members(Generic[Member]):
    """Subjects or styles to choose from."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._members: list[Member] = list(members)
        self._values = np.array([astuple(member) for member in members])

    def pick(self, random: np.random.Generator) -> Member:
        """Return any member."""
        return self._members[int(random.integers(len(self._members)))]

    def relative(self, member: Member, near: float, random: np.random.Generator) -> Member:
        """Return the member itself, one that differs in one or two attributes (with probability `near`), or any.

        The attribute that differs is chosen first, so that an attribute of few values differs as often as one of many.
        """
        kind = random.random()
        if kind < _SAME:
            return member
        if kind < _SAME + near:
            differs = self._values != np.array(astuple(member))
            allowed = differs[:, random.integers(differs.shape[1])] & (differs.sum(1) <= random.choice([1, 2], p=_FEW))
            close = allowed.nonzero()[0]
            if len(close):
                return self._members[int(random.choice(close))]
        return self.pick(random)


@dataclass(frozen=True)
class ImagePairs:
    """References and test images with their attributes.

    Attributes:
        images: Reference, then test image, (n, 2, 3, 32, 32), 0 to 255, uint8.
        attributes: Attribute values of both, (n, 2, 8); -1 everywhere for an image without a subject and a style.
    """

    images: Tensor
    attributes: Tensor

    def same(self, axis: str) -> Tensor:
        """Return whether all four attributes of an axis agree: (n,) booleans."""
        values = self.attributes[..., :_BORDER] if axis == "content" else self.attributes[..., _BORDER:]
        return (values[:, 0] == values[:, 1]).all(1)  # a reference's are never -1


def render_pairs(
    count: int, seed: int, sets: Sequence[str] = TRAINING_SETS, others: Sequence[str] | None = None, near: float = 0.3
) -> ImagePairs:
    """Render pairs of some sets' subjects and styles: same, near and far, with degenerate test images among them.

    Args:
        count: Number of pairs.
        seed: Seed of all choices.
        sets: Names of the world's sets for references; training takes `TRAINING_SETS` alone.
        others: Names of the sets for differing test images; by default `sets`.
        near: On each axis, the share of test images that differ in one or two attributes only.
    """
    source = _PairSource(sets, sets if others is None else others, near, np.random.default_rng(seed))
    images, attributes = [], []
    for _ in range(count):
        reference, test, values = source.render_pair()
        images += [reference, test]
        attributes.append(values)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).reshape(count, 2, 3, SIZE, SIZE)
    return ImagePairs(pixels.contiguous(), torch.tensor(attributes))


class _PairSource:
    """Source of pairs, rendered one after the other."""

    def __init__(self, sets: Sequence[str], others: Sequence[str], near: float, random: np.random.Generator) -> None:
        self.near, self.random = near, random
        self.subjects = Members([subject for name in sets for subject in toy_world().subjects[name]])
        self.styles = Members([style for name in sets for style in toy_world().styles[name]])
        self.looks = Members(neutral_looks())
        self.other_subjects = Members([subject for name in others for subject in toy_world().subjects[name]])
        self.other_styles = Members([*(s for name in others for s in toy_world().styles[name]), *neutral_looks()])

    def render_pair(self) -> tuple[RenderedImage, RenderedImage, list[tuple[int, ...]]]:
        """Return a reference, a test image and their attributes."""
        random = self.random
        subject = self.subjects.pick(random)
        # References of a content have a neutral style, references of a style any subject.
        style = (self.looks if random.random() < 0.4 else self.styles).pick(random)
        own, nothing = truth(subject, style), (-1,) * 8
        reference = self.render(subject, style)
        kind = random.random()
        if kind < _COPY:
            return reference, reference, [own, own]
        if kind < _COPY + _COLLAGE:
            return reference, self.collage(reference, subject), [own, nothing]
        if kind < _COPY + _COLLAGE + _DEGENERATE:
            return reference, DEGENERATES[str(random.choice(list(DEGENERATES)))](random), [own, nothing]
        test_subject = self.other_subjects.relative(subject, self.near, random)
        test_style = self.other_styles.relative(style, self.near, random)
        return reference, self.render(test_subject, test_style), [own, truth(test_subject, test_style)]

    def collage(self, reference: RenderedImage, subject: Subject) -> RenderedImage:
        """Return half of the reference, or of its subject in another style, with half of any image, in either order."""
        random = self.random
        own = reference if random.random() < 0.5 else self.render(subject, self.styles.pick(random))
        other = self.render(self.other_subjects.pick(random), self.other_styles.pick(random))
        left, right = (own, other) if random.random() < 0.5 else (other, own)
        return render_collage(left, right, random)

    def render(self, subject: Subject, style: Style) -> RenderedImage:
        """Return a render with a jitter of its own."""
        return render(subject, style, int(self.random.integers(2**31)))


def check_training_pairs(pairs: ImagePairs) -> None:
    """Check that no image shows a validation or test subject or style, which training must not use.

    Raises:
        ValueError: An image shows one.
    """
    seen = {tuple(row) for row in pairs.attributes.flatten(0, 1).tolist()}
    for split in ("validation", "test"):
        subjects = {astuple(subject) for subject in toy_world().subjects[split]} & {row[:_BORDER] for row in seen}
        styles = {astuple(style) for style in toy_world().styles[split]} & {row[_BORDER:] for row in seen}
        if subjects or styles:
            raise ValueError(
                f"expected pairs without {split} subjects and styles, found subjects {sorted(subjects)[:3]} and styles "
                f"{sorted(styles)[:3]}: render them from the sets {TRAINING_SETS}"
            )


@torch.no_grad()
def reconstruct(pairs: ImagePairs, vae: Path, share: float, seed: int) -> ImagePairs:
    """Return the pairs with a share of the test images passed through the base's autoencoder, as generated ones are."""
    autoencoder: Any = AutoencoderKL.from_pretrained(vae, torch_dtype=torch.float32)
    random = torch.Generator().manual_seed(seed)
    chosen = (torch.rand(len(pairs.images), generator=random) < share).nonzero()[:, 0]
    images = pairs.images.clone()
    for start in range(0, len(chosen), _BATCH):
        part = chosen[start : start + _BATCH]
        latents = autoencoder.encode(scale_pixels(images[part, 1])).latent_dist.mean
        images[part, 1] = (autoencoder.decode(latents).sample.clamp(-1, 1) * 127.5 + 127.5).round().byte()
    return ImagePairs(images, pairs.attributes)


def scale_pixels(pixels: Tensor) -> Tensor:
    """Return bytes as numbers from -1 to 1, as the judge's image processor does."""
    return pixels.float() / 127.5 - 1
