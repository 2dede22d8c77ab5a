"""Files of trained bases: safetensors with all settings in the header, and the base that they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lorarar.analogies.basis import Basis
from lorarar.analogies.examples import Layout
from lorarar.analogies.recipes import BasisConfig
from lorarar.diffusion import Backbone
from lorarar.formats import read_tensor_file, write_tensors
from lorarar.storage import FormatError, lorarar_version

_KEY = "lorarar_analogies"


@dataclass(frozen=True, eq=False)
class TrainedBasis:
    """A basis with what is needed to use it.

    Attributes:
        basis: The basis.
        base: Folder or hub id of its base.
        base_digest: Digest of its denoiser, see `digest_of`.
        layout: How the base sees an analogy.
        prompt: Prompt of every analogy.
        tasks: Names of the training's transformations.
    """

    basis: Basis
    base: str
    base_digest: str
    layout: Layout
    prompt: str
    tasks: tuple[str, ...]

    def check_base(self, backbone: Backbone) -> None:
        """Check that a base is the one that the basis was trained on.

        Raises:
            ValueError: It is another one.
        """
        found = digest_of(backbone.denoiser)
        if found != self.base_digest:
            raise ValueError(
                f"expected the base that the basis was trained on, {self.base} of digest {self.base_digest}, found one "
                f"of digest {found}: give that base, or train a basis on this one by `lorarar analogy train`"
            )


def digest_of(model: nn.Module) -> str:
    """Return a digest of a model's first weights, in float32: equal whatever type they are loaded in from fp16."""
    weights = next(model.parameters()).detach().float().cpu().numpy()
    return hashlib.sha256(weights.tobytes()).hexdigest()[:16]


def save_basis(trained: TrainedBasis, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a basis in float32, atomically; an existing file is replaced.

    Args:
        trained: The basis.
        path: The safetensors file.
        metadata: How it was made.
    """
    basis = trained.basis
    settings = {
        "config": asdict(basis.config),
        "shapes": basis.shapes,
        "features": basis.features,
        "number_of_tasks": basis.tasks,
        **{key: getattr(trained, key) for key in ("base", "base_digest", "layout", "prompt", "tasks")},
    }
    header = {**(metadata or {}), _KEY: json.dumps(settings), "lorarar_version": lorarar_version(), "format": "pt"}
    write_tensors(path, {name: value.detach().cpu() for name, value in basis.state_dict().items()}, header, force=True)


def load_basis(path: Path) -> TrainedBasis:
    """Read a basis.

    Raises:
        FormatError: The file is missing or damaged, or holds something else.
    """
    contents = read_tensor_file(path)
    if _KEY not in contents.header:
        raise FormatError(
            f"{path} is not a basis of LoRAs: expected {_KEY!r} in its header, found {len(contents.tensors)} tensors: "
            "give a file that `lorarar analogy train` wrote"
        )
    try:
        settings: dict[str, Any] = json.loads(contents.header[_KEY])
        config = settings.pop("config")
        config = BasisConfig(**config | {"targets": tuple(config["targets"])})
        shapes = {layer: (rows, columns) for layer, (rows, columns) in settings.pop("shapes").items()}
        basis = Basis(config, shapes, settings.pop("features"), settings.pop("number_of_tasks"))
        basis.load_state_dict(contents.tensors)
        return TrainedBasis(basis.eval().requires_grad_(False), **settings | {"tasks": tuple(settings["tasks"])})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FormatError(
            f"{path} cannot be read as a basis of LoRAs: {error}: update lorarar, or train again"
        ) from error
