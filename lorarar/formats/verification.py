"""Verification: deltas of a file that was read again, compared with those that it should hold.

Every delta dW (out, in) is compared through its sketch X^T dW (k, in), with X (out, k) of random signs: it costs k
columns of B, while exact inner products cost one for each rank, and its differences do not cancel in float32. Deltas
that are equal have equal sketches; E |X^T dW|^2 = k |dW|^2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from lorarar.formats.loading import assemble
from lorarar.formats.reading import StoredLoRA, read_stored
from lorarar.formats.tools import ToolView, tool_views
from lorarar.lora import Layer, LoRA, LowRank, is_text_encoder, one_thread
from lorarar.storage import FormatError, printable

_COLUMNS = 8
_ROUNDINGS = 8.0  # tolerated error in units of the file's precision
_SMALL = 0.01  # norm of a layer, relative to the mean, below which its own error says nothing
_SAME = 0.02  # part of a delta beside a multiple of the expected one, up to which it is called that multiple
Sketches = dict[str, Tensor]


@dataclass(frozen=True)
class Checked:
    """A written file that was read again and holds what it should.

    Attributes:
        layers: Number of layers.
        error: Relative error of all deltas together, from rounding.
        views: What ComfyUI and sd-scripts make of it, where they know its family.
    """

    layers: int
    error: float
    views: tuple[ToolView, ...]

    def text(self) -> str:
        """Return the result in a line."""
        tools = [view.text() for view in self.views]
        return "; ".join([f"verified: {self.layers} layers read again, relative error {self.error:.2g}", *tools])


def check_written(path: Path, lora: LoRA) -> Checked:
    """Read a file again and compare it with the LoRA that it should hold.

    Args:
        path: The file of the weights, as `save` returns it.
        lora: The LoRA that was saved.

    Raises:
        FormatError: It cannot be read, or holds other deltas.
    """
    with one_thread():
        stored = read_stored(path)
        found = assemble(stored)
        error, faults = compare(found, lora, tolerance(stored))
    if faults:
        raise FormatError(
            f"{path} was written, but does not hold the merge when it is read again: {'; '.join(faults)}: "
            "do not use it, and report this"
        )
    return Checked(len(found.layers), error, tuple(tool_views(stored)))


def tolerance(stored: StoredLoRA) -> float:
    """Return the relative error that rounding to the dtype of a file explains."""
    dtypes = {part.dtype for layer in stored.layers.values() for part in layer.parts.values() if part.ndim}
    return max(_ROUNDINGS * max((torch.finfo(t).eps for t in dtypes if t.is_floating_point), default=0.0), 1e-4)


def compare(
    found: LoRA, expected: LoRA, tolerated: float, sketched: tuple[Sketches, Sketches] | None = None
) -> tuple[float, list[str]]:
    """Compare the deltas of a file with those that it should hold.

    Args:
        found: The LoRA that was read.
        expected: The LoRA that it should hold. Layers that either lacks count as zero.
        tolerated: Relative error that is no fault.
        sketched: Their sketches, where they are known.

    Returns:
        The relative error of all deltas together, and what differs in plain words.
    """
    f, e = sketched or (sketches(found.layers), sketches(expected.layers))
    sizes = {path: float(e[path].norm()) for path in e}
    whole = math.hypot(*sizes.values())
    least = _SMALL * whole / math.sqrt(max(len(sizes), 1))
    missing = [path for path in e if path not in f and sizes[path] > least * tolerated]
    extra = [path for path in f if path not in e and float(f[path].norm()) > least * tolerated]
    both = [path for path in e if path in f]
    shapes = [path for path in both if found.layers[path].shape != expected.layers[path].shape]
    lost = [size for path, size in sizes.items() if path not in f or path in shapes]
    strengths: dict[str, list[str]] = {}
    for path in [path for path in both if path not in shapes]:
        gap = float((f[path] - e[path]).norm())
        lost.append(gap)
        if gap > tolerated * max(sizes[path], least):
            strengths.setdefault(_strength(f[path], e[path]), []).append(path)
    error = math.hypot(*lost) / whole if whole else 0.0
    count = len(sizes)
    faults = [
        *_missing(missing, expected),
        _say("layers are not in the inputs", extra, len(f)),
        _say("layers have another shape than the inputs' (another base model, or factors cut wrongly)", shapes, count),
        *(_say(text, paths, count) for text, paths in strengths.items()),
    ]
    return error, list(filter(None, faults))


def sketches(layers: Mapping[str, Layer]) -> Sketches:
    """Return layer path -> sketch X^T dW of its delta, (k, in); a vector is its own sketch, (1, n)."""
    return {path: _sketch(layer) for path, layer in layers.items()}


@torch.no_grad()
def _sketch(layer: Layer) -> Tensor:
    if len(layer.shape) == 1:
        return layer.delta()[None] * math.sqrt(_COLUMNS)
    signs = _signs(layer.shape[0])
    if isinstance(layer, LowRank):
        return (signs @ layer.B.float()) @ layer.A.float() * layer.scale
    return signs @ layer.delta().float()


@cache
def _signs(rows: int) -> Tensor:
    generator = torch.Generator().manual_seed(rows)
    return torch.randint(0, 2, (_COLUMNS, rows), generator=generator).float() * 2 - 1


def _strength(found: Tensor, expected: Tensor) -> str:
    """Return how a delta differs from the expected one."""
    ratio = float((found * expected).sum() / expected.square().sum().clamp_min(1e-30))
    if not float(found.norm()):
        return "layers are zero"
    if float((found - ratio * expected).norm()) <= _SAME * float(found.norm()):
        return f"layers have {ratio:.3g} times the strength (alpha, or a weight)"
    return "layers hold other values"


def _missing(paths: Sequence[str], expected: LoRA) -> list[str]:
    """Return the faults of missing layers, with whole text encoders apart."""
    faults = []
    rest = list(paths)
    for model in dict.fromkeys(path.partition(".")[0] for path in paths if is_text_encoder(path)):
        members = [path for path in expected.layers if path.partition(".")[0] == model]
        if set(members) <= set(paths):
            faults.append(f"the text encoder {model} is missing ({len(members)} layers)")
            rest = [path for path in rest if path not in members]
    return [*faults, _say("layers are missing", rest, len(expected.layers))]


def _say(text: str, paths: Sequence[str], total: int) -> str:
    return f"{len(paths)} of {total} {text}, first {printable(paths[0])}" if paths else ""


@dataclass(frozen=True)
class Explanation:
    """A LoRA as a weighted sum of others, by least squares.

    Attributes:
        weights: Part of the model ("denoiser", "text_encoder", ..) -> weight of each input.
        residual: Relative norm of what the weights leave.
        by_columns: The same, where each column of each layer has weights of its own, as mergers with coefficients
            have.
        fitting: Layers that the weights explain.
    """

    weights: Mapping[str, tuple[float, ...]]
    residual: float
    by_columns: float
    fitting: frozenset[str]

    def of(self, layer: str) -> tuple[float, ...]:
        """Return the weights in a layer."""
        return self.weights[_part(layer)]


def _part(layer: str) -> str:
    return layer.partition(".")[0] if is_text_encoder(layer) else "denoiser"


def explain(found: Sketches, inputs: Sequence[Sketches], tolerated: float) -> Explanation:
    """Return the weights of the inputs that explain a LoRA best. Layers that they do not fit are left out of the fit.

    Args:
        found: Sketches of the LoRA.
        inputs: Sketches of the inputs, of the same shapes.
        tolerated: Relative error up to which a layer fits.
    """
    groups: dict[str, list[str]] = {}
    for path in dict.fromkeys(path for sketched in inputs for path in sketched):
        groups.setdefault(_part(path), []).append(path)
    weights: dict[str, tuple[float, ...]] = {}
    fitting: set[str] = set()
    gaps: list[float] = []
    columns: list[float] = []
    for part, paths in groups.items():
        stacks = {path: _stacked(found, inputs, path) for path in paths}
        solution, fits = _trimmed(stacks, tolerated)
        weights[part] = tuple(solution.tolist())
        fitting |= fits
        gaps += [_gap(target, basis, solution) for target, basis in stacks.values()]
        columns += [_column_gap(target, basis) for target, basis in stacks.values()]
    whole = math.hypot(*(float(sketch.norm()) for sketch in found.values())) or 1.0
    return Explanation(weights, math.hypot(*gaps) / whole, math.hypot(*columns) / whole, frozenset(fitting))


_Stack = tuple[Tensor, Tensor]  # target (k, in), basis (n, k, in)


def _stacked(found: Sketches, inputs: Sequence[Sketches], path: str) -> _Stack:
    """Return the sketches of one layer; zeros where a LoRA lacks it."""
    like = next(sketched[path] for sketched in inputs if path in sketched)
    basis = torch.stack([sketched.get(path, torch.zeros_like(like)) for sketched in inputs])
    return found.get(path, torch.zeros_like(like)), basis


def _trimmed(stacks: Mapping[str, _Stack], tolerated: float) -> tuple[Tensor, set[str]]:
    """Return the weights of a fit, and the layers that it fits.

    The weights are the median over the layers' own fits, so that a minority of wrong layers does not move them, and are
    then fitted to the layers that agree.
    """
    own = torch.stack([_solve([stack]) for stack in stacks.values()])
    absent = torch.stack([~basis.flatten(1).any(1) for _, basis in stacks.values()])
    solution = own.masked_fill(absent, math.nan).nanmedian(dim=0).values.nan_to_num()
    fits: set[str] = set()
    for _ in range(2):
        fits = {path for path, stack in stacks.items() if _fits(*stack, solution, tolerated)}
        solution = _solve(stack for path, stack in stacks.items() if path in fits or not fits)
    return solution, fits


def _fits(target: Tensor, basis: Tensor, weights: Tensor, tolerated: float) -> bool:
    size = max(float(target.norm()), float(torch.tensordot(weights.float(), basis, dims=1).norm()))
    return _gap(target, basis, weights) <= tolerated * size


def _solve(stacks: Iterable[_Stack]) -> Tensor:
    """Return the weights (n,) of least squares; the smallest ones where inputs are dependent."""
    gram: Tensor | None = None
    for target, basis in stacks:
        rows = torch.cat([basis, target[None]]).flatten(1)
        product = (rows @ rows.T).double()
        gram = product if gram is None else gram + product
    assert gram is not None
    weights: Tensor = torch.linalg.pinv(gram[:-1, :-1], rtol=1e-6, hermitian=True) @ gram[:-1, -1]
    return weights


def _gap(target: Tensor, basis: Tensor, weights: Tensor) -> float:
    return float((target - torch.tensordot(weights.float(), basis, dims=1)).norm())


def _column_gap(target: Tensor, basis: Tensor) -> float:
    """Return what least squares in each column leaves, without its bias: n of k equations always fit."""
    gram = torch.einsum("nki,mki->inm", basis, basis)
    gram = gram + 1e-7 * gram.diagonal(dim1=1, dim2=2).sum(1).clamp_min(1e-20)[:, None, None] * torch.eye(len(basis))
    weights = torch.linalg.solve(gram, torch.einsum("nki,ki->in", basis, target))
    left = float((target - torch.einsum("in,nki->ki", weights, basis)).norm())
    return left * math.sqrt(len(target) / max(len(target) - len(basis), 1))
