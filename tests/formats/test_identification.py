"""lorarar.formats.identification: the base model and the naming scheme of a file."""

from __future__ import annotations

import pytest

from lorarar.formats.identification import identify

QKV = {f"transformer_blocks.0.attn.to_{name}": (3072, 3072) for name in "qkv"}
CANDIDATES = {
    "flux": QKV,
    "flux2": QKV,
    "hunyuan-video": QKV,
    "diffusers": {"double_blocks.0.img_attn.qkv": (9216, 3072)},
}


@pytest.mark.parametrize(
    ("stated", "scheme", "family"),
    [
        ("", "flux", "flux"),
        ("flux1", "flux", "flux"),
        ("chroma", "flux", "chroma"),
        ("flux_2_klein_4b", "flux2", "flux2-klein-4b"),
        ("hunyuan_video", "hunyuan-video", "hunyuan-video"),
        ("hunyuan_video_1_5", "diffusers", ""),
    ],
)
def test_the_header_chooses_among_schemes_with_the_same_names(stated: str, scheme: str, family: str) -> None:
    identity = identify(CANDIDATES, {"ss_base_model_version": stated} if stated else {})
    assert identity[:2] == (scheme, family)
    assert bool(identity.notes) == (not family)


def test_a_header_of_a_model_with_other_names_is_refused() -> None:
    with pytest.raises(ValueError, match="expected layers of Wan, which the header names .*found layers of"):
        identify(CANDIDATES, {"ss_base_model_version": "wan"})


def test_a_unet_of_another_size_is_not_said_to_keep_its_names() -> None:
    assert identify({"diffusers": {"down_blocks.0.attentions.0.proj_in": (7, 7)}}, {}) == ("diffusers", "", [])
