"""lorarar.formats.stored: shapes, ranks and deltas of one stored layer."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from lorarar.formats.algorithms.layer import NeedsBase
from lorarar.formats.algorithms.roles import algorithm_of
from lorarar.formats.algorithms.scaling import Scaling
from lorarar.formats.stored import StoredLayer, with_kernel
from lorarar.lora.dense import Dense
from lorarar.lora.lora import Layer
from lorarar.lora.rows import Rows, whole_layer

SHAPES: dict[str, tuple[dict[str, tuple[int, ...]], int | None]] = {
    "lora": ({"up": (4, 2), "down": (2, 6)}, 2),
    "lora_tucker": ({"up": (4, 2, 1, 1), "down": (2, 3, 1, 1), "mid": (2, 2, 1, 2)}, 2),
    "loha": ({"hada_w1_a": (4, 2), "hada_w1_b": (2, 6), "hada_w2_a": (4, 2), "hada_w2_b": (2, 6)}, 2),
    "lokr": ({"lokr_w1": (2, 3), "lokr_w2_a": (2, 1), "lokr_w2_b": (1, 2)}, 1),
    "full": ({"diff": (4, 3, 1, 2)}, None),
}


def stored(parts: Mapping[str, Tensor], rows: Rows | None = None, scaling: Scaling | None = None) -> StoredLayer:
    return StoredLayer(rows or whole_layer("x"), parts, algorithm_of(parts), scaling or Scaling())


@pytest.mark.parametrize("name", SHAPES)
def test_the_shape_is_that_of_the_delta(name: str) -> None:
    shapes, rank = SHAPES[name]
    layer = stored({role: torch.ones(shape) for role, shape in shapes.items()})
    assert (layer.algorithm, layer.shape, layer.rank) == (name, (4, 6), rank)
    assert layer.deltas(None)["x"].shape == (4, 6)


def test_alpha_of_the_parts_goes_before_that_of_a_configuration() -> None:
    parts = {"up": torch.ones(4, 2), "down": torch.ones(2, 6)}
    assert stored(parts, scaling=Scaling(alpha=3.0)).alpha == 3.0
    assert stored(parts | {"alpha": torch.tensor(1.0)}, scaling=Scaling(alpha=3.0)).alpha == 1.0
    assert stored(parts).alpha is None


def test_a_fused_layer_is_divided() -> None:
    rows = Rows((("q", 1), ("mlp", 4)))
    layer = stored({"up": torch.ones(10, 1), "down": torch.ones(1, 2), "diff_b": torch.ones(10)}, rows)
    assert layer.divided_shapes() == {"q": (2, 2), "mlp": (8, 2)}
    shapes = {path: delta.shape for path, delta in layer.deltas(None).items()}
    assert shapes == {"q": (2, 2), "mlp": (8, 2), "q.bias": (2,), "mlp.bias": (8,)}


def test_a_bias_alone_has_the_path_of_a_bias() -> None:
    assert stored({"diff_b": torch.ones(4)}).divided_shapes() == {"x.bias": (4,)}


def test_the_base_weight_has_the_order_of_the_stored_rows() -> None:
    """IA3 multiplies the base's rows, and the halves of this layer are swapped in the file."""
    parts = {"ia3": torch.tensor([1.0, 1.0, 0.0, 0.0]), "on_input": torch.tensor(0.0)}
    layer = stored(parts, Rows((("norm_out.linear", 1),), halves=True))
    assert layer.shape == ()
    with pytest.raises(NeedsBase, match="give `base`"):
        layer.deltas(None)
    weight = torch.arange(8.0).reshape(4, 2)
    delta = layer.deltas(lambda path: weight)["norm_out.linear"].delta()
    # Stored rows 0 and 1 are diffusers rows 2 and 3.
    assert torch.equal(delta, torch.cat([torch.zeros(2, 2), weight[2:]]))


@pytest.mark.parametrize(
    ("layer", "path", "family", "kernel"),
    [
        (Dense(torch.ones(2, 18)), "a.conv1", "", (3, 3)),
        (Dense(torch.ones(2, 10)), "a.conv1", "", ()),  # not a multiple of 9
        (Dense(torch.ones(2, 18), (1, 9)), "a.conv1", "", (1, 9)),
        (Dense(torch.ones(2)), "a.conv1", "", ()),
        (Dense(torch.ones(2, 18)), "a.proj_in", "sd15", (1, 1)),
        (Dense(torch.ones(2, 18)), "a.proj_in", "sdxl", ()),
    ],
)
def test_kernels_by_name(layer: Layer, path: str, family: str, kernel: tuple[int, ...]) -> None:
    assert with_kernel(layer, path, family).kernel == kernel
