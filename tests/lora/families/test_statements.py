"""lorarar.lora.families.statements: what trainers write about the base model."""

from __future__ import annotations

import pytest

from lorarar.lora.families.statements import stated_models
from lorarar.lora.families.table import FAMILIES


@pytest.mark.parametrize(
    ("value", "label", "families"),
    [
        ("sd_v1", "Stable Diffusion 1", {"sd15"}),
        ("sd_1.5", "Stable Diffusion 1", {"sd15"}),
        ("sd_v2_v", "Stable Diffusion 2", {"sd2"}),
        ("sdxl_base_v1-0", "Stable Diffusion XL", {"sdxl"}),
        ("stable-diffusion-xl-v1-refiner/lora", "the refiner of Stable Diffusion XL", set()),
        ("flux1", "FLUX.1", {"flux"}),
        ("flux-1-dev/lora", "FLUX.1", {"flux"}),
        ("flux2_klein_base_4b", "FLUX.2 klein 4B", {"flux2-klein-4b"}),
        ("Flux.2-klein-4b/lora", "FLUX.2 klein 4B", {"flux2-klein-4b"}),
        ("flux_2_dev", "FLUX.2", {"flux2-dev", "flux2-klein-9b", "flux2-klein-4b"}),
        ("flux_kontext", "FLUX.1", {"flux"}),
        ("chroma", "Chroma", {"chroma"}),
        ("stable-diffusion-3-5-large/lora", "Stable Diffusion 3.5 large", {"sd35-large"}),
        ("stable-diffusion-3-m/lora", "Stable Diffusion 3", {"sd3", "sd35-medium", "sd35-large"}),
        ("qwen_image_2512", "Qwen-Image", {"qwen-image"}),
        ("qwen-image-2.1", "Qwen-Image 2", {"qwen-image-2.1"}),
        ("hunyuan_video", "HunyuanVideo", {"hunyuan-video"}),
        ("hunyuan_video_1_5", "HunyuanVideo 1.5", set()),
        ("wan2.2", "Wan", {"wan-14b", "wan-5b", "wan-1.3b"}),
        ("HiDream-O1-Image/lora", "HiDream-O1", set()),
        ("krea2", "Krea 2", {"krea2"}),
    ],
)
def test_a_model_that_the_header_names(value: str, label: str, families: set[str]) -> None:
    for field in ("ss_base_model_version", "modelspec.architecture"):
        (statement,) = stated_models({field: value})
        assert (statement.field, statement.value, statement.label) == (field, value, label)
        assert statement.families == families


def test_our_own_headers_name_their_family() -> None:
    for key, family in FAMILIES.items():
        for statement in stated_models(
            {
                "ss_base_model_version": family.base_model_version,
                "modelspec.architecture": f"{family.architecture}/lora",
            }
        ):
            assert key in statement.families, key


def test_what_is_not_known_says_nothing() -> None:
    assert stated_models({"ss_base_model_version": "illustrious", "modelspec.architecture": ""}) == []
