"""What the tiny judge learns from: pairs of images, reference and test, whose attributes are known.

A pair serves every question: whether subject, style or one attribute is the same, and what an image shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from lorarar.worlds.toy.attributes import CONTENT_ATTRIBUTES, Style, Subject, neutral_looks, truth
from lorarar.worlds.toy.judge.negatives import DEGENERATES, Pixels, render_collage
from lorarar.worlds.toy.renderer import SIZE, render
from lorarar.worlds.toy.world import toy_world

TRAINING_SETS = ("base", "train")  # the sets of subjects and styles that training may show
_BORDER = len(CONTENT_ATTRIBUTES)
_DEGENERATE, _COLLAGE, _COPY = 0.10, 0.07, 0.03  # shares of all pairs
_SAME = 0.45  # of the others, on each axis
_FEW = (0.75, 0.25)  # of near members, how many may differ in one attribute alone, and in up to two
_BATCH = 256

T = TypeVar("T", Subject, Style)


class Members(Generic[T]):
    """Subjects or styles that may be shown."""

    def __init__(self, members: Sequence[T]) -> None:
        self._members: list[T] = list(members)
        self._values = np.array([astuple(member) for member in members])

    def pick(self, random: np.random.Generator) -> T:
        """Any of them."""
        return self._members[int(random.integers(len(self._members)))]

    def relative(self, member: T, near: float, random: np.random.Generator) -> T:
        """The member itself, one that differs from it in one or two attributes (with probability `near`), or any.

        Which attribute differs is drawn first, so that one of few values differs as often as one of many.
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
    """References and test images with what they show.

    Attributes:
        images: (n, 2, 3, 32, 32), 0 to 255, uint8: reference, then test image.
        attributes: (n, 2, 8); -1 everywhere for an image that shows nothing in particular.
    """

    images: Tensor
    attributes: Tensor

    def same(self, axis: str) -> Tensor:
        """Whether all four attributes of an axis agree: (n,) booleans."""
        values = self.attributes[..., :_BORDER] if axis == "content" else self.attributes[..., _BORDER:]
        return (values[:, 0] == values[:, 1]).all(1)  # a reference's are never -1


def render_pairs(
    count: int, seed: int, sets: Sequence[str] = TRAINING_SETS, others: Sequence[str] | None = None, near: float = 0.3
) -> ImagePairs:
    """Pairs of renders of some sets' subjects and styles, same, near and far, with degenerate test images among them.

    Args:
        sets: names of the world's sets that references show; training takes ``TRAINING_SETS`` alone.
        others: the sets of what a test image shows when it does not show the same; by default ``sets``.
        near: on each axis, the share of test images that differ in one or two attributes only.
    """
    drawer = _Drawer(sets, sets if others is None else others, near, np.random.default_rng(seed))
    images, attributes = [], []
    for _ in range(count):
        reference, test, shown = drawer.draw_pair()
        images += [reference, test]
        attributes.append(shown)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).reshape(count, 2, 3, SIZE, SIZE)
    return ImagePairs(pixels.contiguous(), torch.tensor(attributes))


class _Drawer:
    """Draws one pair after the other."""

    def __init__(self, sets: Sequence[str], others: Sequence[str], near: float, random: np.random.Generator) -> None:
        self.near, self.random = near, random
        self.subjects = Members([subject for name in sets for subject in toy_world().subjects[name]])
        self.styles = Members([style for name in sets for style in toy_world().styles[name]])
        self.looks = Members(neutral_looks())
        self.other_subjects = Members([subject for name in others for subject in toy_world().subjects[name]])
        self.other_styles = Members([*(s for name in others for s in toy_world().styles[name]), *neutral_looks()])

    def draw_pair(self) -> tuple[Pixels, Pixels, list[tuple[int, ...]]]:
        """Reference, test image and their attributes."""
        random = self.random
        subject = self.subjects.pick(random)
        # A content's references have a neutral look, a style's show any subject.
        style = (self.looks if random.random() < 0.4 else self.styles).pick(random)
        own, nothing = truth(subject, style), (-1,) * 8
        reference = self.render(subject, style)
        kind = random.random()
        if kind < _COPY:
            return reference, reference, [own, own]
        if kind < _COPY + _COLLAGE:
            return reference, self.draw_collage(reference, subject), [own, nothing]
        if kind < _COPY + _COLLAGE + _DEGENERATE:
            return reference, DEGENERATES[str(random.choice(list(DEGENERATES)))](random), [own, nothing]
        shown = (
            self.other_subjects.relative(subject, self.near, random),
            self.other_styles.relative(style, self.near, random),
        )
        return reference, self.render(*shown), [own, truth(*shown)]

    def render_collage(self, reference: Pixels, subject: Subject) -> Pixels:
        """Half of the reference, or of its subject in another style, with half of any image, in either order."""
        random = self.random
        one = reference if random.random() < 0.5 else self.render(subject, self.styles.pick(random))
        other = self.render(self.other_subjects.pick(random), self.other_styles.pick(random))
        return render_collage(*((one, other) if random.random() < 0.5 else (other, one)), random)

    def render(self, subject: Subject, style: Style) -> Pixels:
        """A render with a jitter of its own."""
        return render(subject, style, int(self.random.integers(2**31)))


def check_training_pairs(pairs: ImagePairs) -> None:
    """Raise ValueError if an image shows a validation or test subject or style: it must not be learnt from."""
    seen = {tuple(row) for row in pairs.attributes.flatten(0, 1).tolist()}
    for split in ("validation", "test"):
        subjects = {astuple(subject) for subject in toy_world().subjects[split]} & {row[:_BORDER] for row in seen}
        styles = {astuple(style) for style in toy_world().styles[split]} & {row[_BORDER:] for row in seen}
        if subjects or styles:
            raise ValueError(
                f"expected pairs without {split} subjects and styles, found subjects {sorted(subjects)[:3]} and styles "
                f"{sorted(styles)[:3]}: draw them from {LEARNT}"
            )


@torch.no_grad()
def reconstruct(pairs: ImagePairs, vae: Path, share: float, seed: int) -> ImagePairs:
    """The pairs with a share of the test images passed through the base's autoencoder, as generated ones are."""
    autoencoder: Any = AutoencoderKL.from_pretrained(vae, torch_dtype=torch.float32)  # type: ignore[no-untyped-call]
    random = torch.Generator().manual_seed(seed)
    chosen = (torch.rand(len(pairs.images), generator=random) < share).nonzero()[:, 0]
    images = pairs.images.clone()
    for start in range(0, len(chosen), _BATCH):
        part = chosen[start : start + _BATCH]
        latents = autoencoder.encode(scale_pixels(images[part, 1])).latent_dist.mean
        images[part, 1] = (autoencoder.decode(latents).sample.clamp(-1, 1) * 127.5 + 127.5).round().byte()
    return ImagePairs(images, pairs.attributes)


def scale_pixels(pixels: Tensor) -> Tensor:
    """Bytes as -1 to 1, as the judge's image processor does."""
    return pixels.float() / 127.5 - 1
