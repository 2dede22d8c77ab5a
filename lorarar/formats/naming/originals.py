"""Authors' names for transformer layers, with fused projections, and the diffusers names of the same layers.

FLUX.1 by Black Forest Labs (double_blocks, single_blocks), SD3 by Stability (joint_blocks), Z-Image (attention.qkv).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from lorarar.formats.naming import blocks
from lorarar.formats.naming.rows import Rows, whole_layer
from lorarar.lora.families import FAMILIES

NamingScheme = Literal["diffusers", "sgm", "flux", "sd3", "z-image"]
_ROOTS: Mapping[NamingScheme, tuple[str, ...]] = {
    "flux": ("double_blocks", "single_blocks"),
    "sd3": ("joint_blocks",),
    "z-image": ("layers", "noise_refiner", "context_refiner"),
    "sgm": blocks.ROOTS,
}
# Module of the authors -> (diffusers module, share of the rows), from the top.
_QKV = (("attn.to_q", 1), ("attn.to_k", 1), ("attn.to_v", 1))
_ADDED_QKV = (("attn.add_q_proj", 1), ("attn.add_k_proj", 1), ("attn.add_v_proj", 1))
_DOUBLE = {
    "img_attn.qkv": _QKV,
    "txt_attn.qkv": _ADDED_QKV,
    "img_attn.proj": (("attn.to_out.0", 1),),
    "txt_attn.proj": (("attn.to_add_out", 1),),
    "img_attn.norm.query_norm": (("attn.norm_q", 1),),
    "img_attn.norm.key_norm": (("attn.norm_k", 1),),
    "txt_attn.norm.query_norm": (("attn.norm_added_q", 1),),
    "txt_attn.norm.key_norm": (("attn.norm_added_k", 1),),
    "img_mlp.0": (("ff.net.0.proj", 1),),
    "img_mlp.2": (("ff.net.2", 1),),
    "txt_mlp.0": (("ff_context.net.0.proj", 1),),
    "txt_mlp.2": (("ff_context.net.2", 1),),
    "img_mod.lin": (("norm1.linear", 1),),
    "txt_mod.lin": (("norm1_context.linear", 1),),
}
_QKV_ROWS = "qkv"  # rows of linear1, which XLabs trains alone
_SINGLE = {
    "linear1": (*_QKV, ("proj_mlp", 4)),
    _QKV_ROWS: _QKV,
    "linear2": (("proj_out", 1),),
    "modulation.lin": (("norm.linear", 1),),
    "norm.query_norm": (("attn.norm_q", 1),),
    "norm.key_norm": (("attn.norm_k", 1),),
}
_JOINT = {
    "x_block.attn.qkv": _QKV,
    "context_block.attn.qkv": _ADDED_QKV,
    "x_block.attn2.qkv": (("attn2.to_q", 1), ("attn2.to_k", 1), ("attn2.to_v", 1)),
    "x_block.attn.proj": (("attn.to_out.0", 1),),
    "x_block.attn2.proj": (("attn2.to_out.0", 1),),
    "context_block.attn.proj": (("attn.to_add_out", 1),),
    "x_block.attn.ln_q": (("attn.norm_q", 1),),
    "x_block.attn.ln_k": (("attn.norm_k", 1),),
    "x_block.attn2.ln_q": (("attn2.norm_q", 1),),
    "x_block.attn2.ln_k": (("attn2.norm_k", 1),),
    "context_block.attn.ln_q": (("attn.norm_added_q", 1),),
    "context_block.attn.ln_k": (("attn.norm_added_k", 1),),
    "x_block.mlp.fc1": (("ff.net.0.proj", 1),),
    "x_block.mlp.fc2": (("ff.net.2", 1),),
    "context_block.mlp.fc1": (("ff_context.net.0.proj", 1),),
    "context_block.mlp.fc2": (("ff_context.net.2", 1),),
    "x_block.adaLN_modulation.1": (("norm1.linear", 1),),
    "context_block.adaLN_modulation.1": (("norm1_context.linear", 1),),
}
_REFINER = {
    "attention.qkv": (("attention.to_q", 1), ("attention.to_k", 1), ("attention.to_v", 1)),
    "attention.out": (("attention.to_out.0", 1),),
    "attention.q_norm": (("attention.norm_q", 1),),
    "attention.k_norm": (("attention.norm_k", 1),),
}
_BLOCKS: Mapping[str, tuple[str, Mapping[str, tuple[tuple[str, int], ...]]]] = {
    "double_blocks": ("transformer_blocks", _DOUBLE),
    "single_blocks": ("single_transformer_blocks", _SINGLE),
    "joint_blocks": ("transformer_blocks", _JOINT),
    "layers": ("layers", _REFINER),
    "noise_refiner": ("noise_refiner", _REFINER),
    "context_refiner": ("context_refiner", _REFINER),
}
_EMBEDDER = "time_text_embed.{}_embedder.linear_{}"
_OUTSIDE: Mapping[NamingScheme, Mapping[str, str]] = {
    "flux": {
        "img_in": "x_embedder",
        "txt_in": "context_embedder",
        "time_in.in_layer": _EMBEDDER.format("timestep", 1),
        "time_in.out_layer": _EMBEDDER.format("timestep", 2),
        "vector_in.in_layer": _EMBEDDER.format("text", 1),
        "vector_in.out_layer": _EMBEDDER.format("text", 2),
        "guidance_in.in_layer": _EMBEDDER.format("guidance", 1),
        "guidance_in.out_layer": _EMBEDDER.format("guidance", 2),
        "final_layer.linear": "proj_out",
        "final_layer.adaLN_modulation.1": "norm_out.linear",
    },
    "sd3": {
        "x_embedder.proj": "pos_embed.proj",
        "t_embedder.mlp.0": _EMBEDDER.format("timestep", 1),
        "t_embedder.mlp.2": _EMBEDDER.format("timestep", 2),
        "y_embedder.mlp.0": _EMBEDDER.format("text", 1),
        "y_embedder.mlp.2": _EMBEDDER.format("text", 2),
        "final_layer.linear": "proj_out",
        "final_layer.adaLN_modulation.1": "norm_out.linear",
    },
    "z-image": {
        "x_embedder": "all_x_embedder.2-1",
        "final_layer.linear": "all_final_layer.2-1.linear",
        "final_layer.adaLN_modulation.1": "all_final_layer.2-1.adaLN_modulation.1",
    },
}
# Key of a family -> naming scheme of its authors.
_FAMILIES: Mapping[str, NamingScheme] = {
    "flux": "flux",
    "chroma": "flux",
    "sd3": "sd3",
    "sd35-medium": "sd3",
    "sd35-large": "sd3",
    "z-image": "z-image",
}
_IN_BLOCK = re.compile(r"(?P<root>\w+)\.(?P<number>\d+)\.(?P<module>.+)")


def scheme_of(paths: Iterable[str]) -> NamingScheme:
    """Return the naming scheme of a denoiser's paths.

    The name of one block also decides the scheme of the layers outside the blocks.
    """
    roots = {path.partition(".")[0] for path in paths}
    return next((scheme for scheme, names in _ROOTS.items() if not roots.isdisjoint(names)), "diffusers")


def kohya_scheme(family: str) -> NamingScheme | None:
    """Return the naming scheme of kohya's trainer: the authors' for transformers that have one, else None."""
    return _FAMILIES.get(family)


def scheme_fits(scheme: NamingScheme, family: str) -> bool:
    """Return whether a file with these names can belong to a family. Authors' names belong to their own models only."""
    if scheme == "sgm":
        return FAMILIES[family].sgm
    return scheme == "diffusers" or scheme == _FAMILIES.get(family)


def rows_of(path: str, scheme: NamingScheme, layers_per_block: int) -> Rows | None:
    """Return the diffusers layers in the rows of a stored layer; None if the scheme's model does not contain the layer.

    Args:
        path: Path of the layer in the file.
        scheme: Naming scheme of the path.
        layers_per_block: layers_per_block of the UNet, for sgm names.
    """
    root = path.partition(".")[0]
    if scheme == "sgm":
        name = blocks.from_sgm(path, layers_per_block)
        return whole_layer(name or path) if name or root not in blocks.ROOTS else None
    if root in _ROOTS.get(scheme, ()):
        return _in_block(path, scheme)
    halves = path == "final_layer.adaLN_modulation.1" and scheme in ("flux", "sd3")
    return Rows(((_OUTSIDE.get(scheme, {}).get(path, path), 1),), halves)


def _in_block(path: str, scheme: NamingScheme) -> Rows | None:
    layer = _IN_BLOCK.fullmatch(path)
    if layer is None:
        return None
    root, modules = _BLOCKS[layer["root"]]
    same_name = ((layer["module"], 1),) if scheme == "z-image" else None
    shares = modules.get(layer["module"], same_name)
    return _rows(root, layer["number"], layer["module"], shares) if shares else None


def _rows(root: str, number: str, module: str, shares: tuple[tuple[str, int], ...]) -> Rows:
    named = tuple((f"{root}.{number}.{name}", share) for name, share in shares)
    return Rows(named, halves=module == "context_block.adaLN_modulation.1")


def original_layer(path: str, scheme: NamingScheme) -> tuple[str, Rows]:
    """Return the authors' layer that contains a diffusers layer, with all its rows; the inverse of `rows_of`.

    Raises:
        ValueError: The authors' model has no such layer.
    """
    for original, name in _OUTSIDE[scheme].items():
        if name == path:
            return original, Rows(((path, 1),), halves=original == "final_layer.adaLN_modulation.1")
    if path == "context_embedder" and scheme == "sd3":
        return path, whole_layer(path)
    if scheme == "z-image" and path.startswith(("cap_embedder.", "t_embedder.")):
        return path, whole_layer(path)
    if layer := _IN_BLOCK.fullmatch(path):
        for original in _ROOTS[scheme]:
            root, modules = _BLOCKS[original]
            module = _module_with(layer["module"], modules) if root == layer["root"] else None
            if module is not None:
                rows = _rows(root, layer["number"], module, modules[module])
                return f"{original}.{layer['number']}.{module}", rows
        if scheme == "z-image" and layer["root"] in _ROOTS[scheme]:
            return path, whole_layer(path)  # feed-forward, norms and modulation have the same names
    raise ValueError(f'the authors\' model has no layer {path}: write the LoRA with `format="diffusers"`')


def _module_with(name: str, modules: Mapping[str, tuple[tuple[str, int], ...]]) -> str | None:
    """Return the authors' module that contains a diffusers module; None if there is none."""
    for module, shares in modules.items():
        if module != _QKV_ROWS and name in dict(shares):
            return module
    return None
