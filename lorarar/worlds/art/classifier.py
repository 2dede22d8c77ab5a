"""Classifier by prototypes: which drawing an image shows, and in which style.

One trunk makes two embeddings. Training separates the known drawings and styles by a cosine softmax with a margin;
reading takes the nearest prototype, the mean embedding of true renders, so that drawings and styles that no training
has seen are read too. An image that is nearer to noise or to a blank image than to every prototype shows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lorarar.storage import track
from lorarar.worlds.art.definition import ART, class_names, drawing_index, style_index
from lorarar.worlds.art.styles import plain_grounds
from lorarar.worlds.art.world import art_world
from lorarar.worlds.stages.renders import draw
from lorarar.worlds.stages.world import Render, World, WorldClassifier, from_bytes

_NONE = -1  # read where an image of nothing is nearer than every prototype
_CHANNELS = (3, 32, 64, 96, 160)
_EMBEDDING = 128
_SCALE = 20.0  # of cosines in the softmax
_MARGINS = (0.2, 0.1)  # of a drawing's and of a style's cosine
_STYLE_WEIGHT = 0.7
_DRAWING_RENDERS, _STYLE_RENDERS = 8, 24  # of a prototype
_KNOWN_RENDERS = 3000  # for the whitening
_SHRINKAGE = 0.3  # of the variances within towards their mean
_PART = 200  # images at once
_NOTHINGS = 700


class PrototypeClassifier(WorldClassifier):
    """Network of two embeddings, with a prototype of every drawing and style, and images of nothing beside them.

    Attributes:
        drawings: Prototypes of the drawings, (drawings, 128).
        styles: Prototypes of the styles, (styles, 128).
        means, whitening: Map of both embeddings, (2, 128) and (2, 128, 128), after which those of one drawing or style
            vary alike in all directions.
        nothing: Mapped embeddings of noise, blank images and gradients, (2, images, 128).
        classes: Class of each drawing, (drawings + 1,); -1 for nothing.
    """

    drawings: Tensor
    styles: Tensor
    means: Tensor
    whitening: Tensor
    nothing: Tensor
    classes: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(_CHANNELS)):
            layers += _convolution(before, after, 5 if i == 0 else 3, stride=2)
            if i:
                layers += _convolution(after, after, 3, stride=1)
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.1))
        flat = _CHANNELS[-1] * (ART.size // 16) ** 2
        sizes = len(drawing_index()), len(set(style_index().values()))
        self.embeddings = nn.ModuleList([nn.Linear(flat, _EMBEDDING) for _ in sizes])
        self.directions = nn.ParameterList([torch.randn(size, _EMBEDDING) * 0.05 for size in sizes])
        self.register_buffer("drawings", torch.zeros(sizes[0], _EMBEDDING))
        self.register_buffer("styles", torch.zeros(sizes[1], _EMBEDDING))
        self.register_buffer("means", torch.zeros(2, _EMBEDDING))
        self.register_buffer("whitening", torch.eye(_EMBEDDING).repeat(2, 1, 1))
        self.register_buffer("nothing", torch.zeros(2, _NOTHINGS, _EMBEDDING))
        classes = [class_names().index(drawing.class_name) for drawing in drawing_index()]
        self.register_buffer("classes", torch.tensor([*classes, _NONE]), persistent=False)
        for axis, unseen in enumerate(_unseen()):
            self.register_buffer(f"unseen_{axis}", torch.tensor(unseen), persistent=False)

    @property
    def world(self) -> World:
        """The art world."""
        return ART

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of drawing and style, (n, 128) each, of length 1."""
        features = self.trunk(images)
        drawing, style = (nn.functional.normalize(embed(features).float(), dim=1) for embed in self.embeddings)
        return drawing, style

    def loss(self, images: Tensor, true: Tensor) -> Tensor:
        """Return the cross-entropy over known drawings and styles; the right one's cosine is lowered by a margin."""
        losses = []
        for axis, embedded in enumerate(self(images)):
            cosines = embedded @ nn.functional.normalize(self.directions[axis], dim=1).T
            cosines = cosines.index_fill(1, self.get_buffer(f"unseen_{axis}"), -torch.inf)
            right = true[:, axis + 1 : axis + 2]
            lowered = cosines.scatter_add(1, right, torch.full_like(cosines[:, :1], -_MARGINS[axis]))
            losses.append(nn.functional.cross_entropy(_SCALE * lowered, right[:, 0]))
        return losses[0] + _STYLE_WEIGHT * losses[1]

    @torch.no_grad()
    def finish(self) -> None:
        """Compute, from true renders, how embeddings vary within a drawing or style, then prototypes and nothing."""
        known = ART.plan("known", _KNOWN_RENDERS, 2)
        embedded = self._embed_renders(known)
        true = torch.tensor([ART.truth(content, style) for content, style, _ in known])[:, 1:]
        for axis in (0, 1):
            self.means[axis], self.whitening[axis] = _whiten(embedded[axis], true[:, axis])
        for axis, (prototypes, plan) in enumerate(((self.drawings, _drawing_plan()), (self.styles, _style_plan()))):
            embeddings = self._project(self._embed_renders(plan))[axis]
            means = embeddings.unflatten(0, (len(prototypes), -1)).mean(1)
            prototypes.copy_(nn.functional.normalize(means, dim=1))
        self.nothing.copy_(torch.stack(self._project(self._embed(images_of_nothing(_NOTHINGS, seed=0)))))

    def _embed_renders(self, plan: Sequence[Render]) -> list[Tensor]:
        starts = track(range(0, len(plan), _PART), "draw")
        parts = [self._embed(from_bytes(draw(ART, plan[start : start + _PART]))) for start in starts]
        return [torch.cat([part[axis] for part in parts]) for axis in (0, 1)]

    def _embed(self, images: Tensor) -> list[Tensor]:
        parts = [self(part) for part in images.split(_PART)]
        return [torch.cat([part[axis] for part in parts]) for axis in (0, 1)]

    def _project(self, embedded: list[Tensor]) -> list[Tensor]:
        """Return the whitened embeddings of drawing and style, (n, 128) each, of length 1."""
        whitened = [(each - self.means[axis]) @ self.whitening[axis] for axis, each in enumerate(embedded)]
        return [nn.functional.normalize(each, dim=1) for each in whitened]

    @torch.no_grad()
    def similarities(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cosines with all prototypes, and with the nearest image of nothing in the last column.

        Args:
            images: (n, 3, 64, 64), -1 to 1.

        Returns:
            Tensors (n, drawings + 1) and (n, styles + 1).
        """
        drawing, style = self._project(self._embed(images))
        to_nothing = [(drawing @ self.nothing[0].T).amax(1), (style @ self.nothing[1].T).amax(1)]
        return (
            torch.cat([drawing @ self.drawings.T, to_nothing[0][:, None]], dim=1),
            torch.cat([style @ self.styles.T, to_nothing[1][:, None]], dim=1),
        )

    def read(self, images: Tensor) -> Tensor:
        """Return class, drawing and style of images (n, 3, 64, 64), -1 to 1: (n, 3); -1 where nothing is nearest."""
        drawing, style = (each.argmax(1) for each in self.similarities(images))
        values = torch.stack([self.classes[drawing], drawing, style], dim=1)
        is_nothing = [drawing == len(self.drawings), drawing == len(self.drawings), style == len(self.styles)]
        return values.masked_fill(torch.stack(is_nothing, dim=1), _NONE)

    def score(self, images: Tensor, true: Tensor) -> dict[str, Tensor]:
        """Score images by their truths (n, 3).

        Returns:
            Scores (n,), 0 or 1, by name: "content" and "style", whether the drawing and the style are right; "joint"
            and "strict", whether both are; "content_without_category", whether the drawing is right among those of its
            class, because the prompt already names the class.
        """
        content, style = (self.read(images)[:, 1:] == true[:, 1:]).float().unbind(1)
        allowed = self.classes[None] == true[:, :1]
        allowed[:, -1] = True  # nothing
        within = self.similarities(images)[0].masked_fill(~allowed, -torch.inf).argmax(1) == true[:, 1]
        both = content * style
        scores = {"content": content, "style": style, "joint": both, "strict": both}
        return scores | {"content_without_category": within.float()}

    def facts(self, images: Tensor, true: Tensor) -> dict[str, Any]:
        """Return the accuracy on the test pairs' and on the known members' renders, and what is read in nothing."""
        known = ART.plan("known", len(images), 1)
        known_true = torch.tensor([ART.truth(content, style) for content, style, _ in known])
        read = (self.read(images_of_nothing(len(images), seed=1)) != _NONE).float().mean(0).tolist()
        return {
            "accuracy_on_test_renders": self._accuracy(images, true),
            "accuracy_on_known_renders": self._accuracy(from_bytes(draw(ART, known)), known_true),
            "read_in_images_of_nothing": dict(zip(("class", "drawing", "style"), read, strict=True)),
        }

    def _accuracy(self, images: Tensor, true: Tensor) -> dict[str, float]:
        right = (self.read(images) == true).float().mean(0).tolist()
        return dict(zip(("class", "drawing", "style"), right, strict=True))


def _whiten(embedded: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of embeddings (n, 128), and the map (128, 128) that makes their variances within labels equal."""
    counts = torch.bincount(labels)
    sums = torch.zeros(len(counts), embedded.shape[1]).index_add(0, labels, embedded)
    within = embedded - (sums / counts.clamp(min=1)[:, None])[labels]
    variances, directions = torch.linalg.eigh(within.T @ within / len(within))
    return embedded.mean(0), directions / (variances + _SHRINKAGE * variances.mean()).sqrt()


def images_of_nothing(count: int, seed: int) -> Tensor:
    """Return noise of several grains, blank images and gradients, (count, 3, 64, 64), -1 to 1."""
    random = torch.Generator().manual_seed(seed)
    images = []
    for i in range(count):
        side = (1, 2, 4, 8, 16, 32, 64)[i % 7]
        grain = torch.rand(1, 3, side, side, generator=random) * 2 - 1
        mode = "nearest" if i % 2 else "bicubic"
        images.append(nn.functional.interpolate(grain, (ART.size, ART.size), mode=mode).clamp(-1, 1))
    return torch.cat(images)


def _convolution(before: int, after: int, side: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, side, stride, side // 2, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.GELU()]


def _unseen() -> tuple[list[int], list[int]]:
    """Return the numbers of the drawings and styles that training may not see."""
    held_out = ("validation", "test")
    drawings = [i for drawing, i in drawing_index().items() if drawing.split in held_out]
    return drawings, [i for style, i in style_index().items() if style.split in held_out]


def _drawing_plan() -> list[Render]:
    """Return renders of every drawing, one on a plain ground and the others in styles of the base."""
    random = np.random.default_rng(11)
    plan = []
    for drawing in drawing_index():
        looks = [
            *_choose(plain_grounds(), 1, random),
            *_choose(art_world().styles["base"], _DRAWING_RENDERS - 1, random),
        ]
        plan += [Render(drawing, look, int(random.integers(2**31))) for look in looks]
    return plan


def _style_plan() -> list[Render]:
    """Return renders of the base's drawings in every style, and on plain grounds."""
    random = np.random.default_rng(12)
    looks: dict[int, list[Any]] = {}
    for style, index in style_index().items():
        looks.setdefault(index, []).append(style)
    plan = []
    for index in sorted(looks):
        for i, drawing in enumerate(_choose(art_world().drawings["base"], _STYLE_RENDERS, random)):
            plan.append(Render(drawing, looks[index][i % len(looks[index])], int(random.integers(2**31))))
    return plan


def _choose(members: Sequence[Any], count: int, random: np.random.Generator) -> list[Any]:
    return [members[i] for i in random.permutation(len(members))[:count]]
