"""lorarar.training.layers: the presets' layers against those of LyCORIS."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

from lorarar.diffusion.backbone import Backbone
from lorarar.training.layers import trained_layers
from lorarar.training.settings import Preset, Recipe

RECIPE = Recipe(rank=2, alphas=(2.0,), steps=1, images=1, learning_rate=0.1)


@pytest.mark.parametrize("preset", ["attn-mlp", "full"])
def test_a_preset_has_the_layers_that_lycoris_trains(preset: Preset, backbone: Backbone) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lycoris.config import PRESET
        from lycoris.wrapper import LycorisNetwork

    chosen = PRESET[preset]
    keys = {"target_module": chosen["unet_target_module"], "target_name": chosen["unet_target_name"]}
    kept = dict(vars(LycorisNetwork))
    try:
        LycorisNetwork.apply_preset({"enable_conv": chosen["enable_conv"], **keys})
        theirs = {module.lora_name for module in LycorisNetwork(backbone.denoiser, network_module="locon").loras}
    finally:
        for name in ("ENABLE_CONV", "TARGET_REPLACE_MODULE", "TARGET_REPLACE_NAME"):
            setattr(LycorisNetwork, name, kept[name])
    layers = trained_layers(backbone, replace(RECIPE, preset=preset, algorithm="locon"))
    ours = {f"lycoris_{layer.path.replace('.', '_')}" for layer in layers}
    assert len(ours) > 80
    assert ours <= theirs
    # LyCORIS 4.1.3 takes these too, by the class that they share with a module of another model's transformer.
    assert all("_embedding_linear_" in name for name in theirs - ours)


def test_text_encoders_are_trained_as_the_preset_says(backbone: Backbone) -> None:
    def encoders(preset: Preset | None) -> list[str]:
        layers = trained_layers(backbone, replace(RECIPE, preset=preset, text_encoders=True))
        return [layer.path for layer in layers if layer.model]

    attention = encoders(None)
    assert attention == encoders("attn-only")
    assert attention[0] == "text_encoder.text_model.encoder.layers.0.self_attn.k_proj"
    assert len(attention) == 4 * 5
    assert len(encoders("attn-mlp")) == 6 * 5
