"""Verification of merged files: twenty planted faults are found, and correct files of all kinds have none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorarar.formats.loading import load
from lorarar.formats.reading import read_stored
from lorarar.formats.writing import save
from lorarar.lora.coefficients import Coefficients, merge_exactly
from lorarar.lora.lora import LoRA
from lorarar.lora.lowrank import LowRank
from lorarar.lora.weights import scale_layers
from lorarar.mergers import files as files_module
from lorarar.mergers.files import merge_files
from lorarar.mergers.request import FileMerge, MergeRequest
from lorarar.storage.atomic import FormatError
from lorarar.workflows import verification
from lorarar.workflows.diffusers_view import diffusers_view
from lorarar.workflows.verification import TOOLS, Verification, verify_file

Tensors = dict[str, Tensor]
ATTENTION = "down_blocks.1.attentions.0.transformer_blocks.0"
SDXL = {
    f"{ATTENTION}.attn1.to_q": (640, 640),
    f"{ATTENTION}.attn1.to_out.0": (640, 640),
    f"{ATTENTION}.attn2.to_k": (640, 2048),
    "mid_block.attentions.0.transformer_blocks.9.attn1.to_q": (1280, 1280),
    "mid_block.attentions.0.transformer_blocks.8.attn1.to_q": (1280, 1280),
    "text_encoder.text_model.encoder.layers.0.self_attn.q_proj": (768, 768),
    "text_encoder_2.text_model.encoder.layers.0.self_attn.q_proj": (1280, 1280),
}
FLUX = {
    **{f"transformer_blocks.3.attn.to_{name}": (3072, 3072) for name in "qkv"},
    **{f"single_transformer_blocks.7.attn.to_{name}": (3072, 3072) for name in "qkv"},
    "single_transformer_blocks.7.proj_mlp": (12288, 3072),
}
SD15 = {"down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k": (640, 768)}
LAYERS = {"sdxl": SDXL, "flux": FLUX, "sd15": SD15}
Q9, Q8 = (f"lora_unet_middle_block_1_transformer_blocks_{i}_attn1_to_q" for i in (9, 8))
Q = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"
QKV, LINEAR1 = "lora_unet_double_blocks_3_img_attn_qkv", "lora_unet_single_blocks_7_linear1"


def lora(family: str, seed: int, rank: int = 2) -> LoRA:
    """A LoRA with entries of order 1 and alpha = rank / 2."""
    generator = torch.Generator().manual_seed(seed)
    layers = {}
    for path, (out, width) in LAYERS[family].items():
        factors = torch.randn(out, rank, generator=generator), torch.randn(rank, width, generator=generator)
        layers[path] = LowRank(*(0.1 * factor for factor in factors), scale=0.5)
    return LoRA(layers, family=family)


@pytest.fixture(autouse=True)
def _without_diffusers(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Leave diffusers' loader, which takes seconds to import, to the test of it."""
    if "diffusers" not in request.node.name:
        monkeypatch.setattr(verification, "diffusers_view", lambda *_: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two LoRAs each for SDXL and FLUX, merged with the weights 1 and 0.6."""
    folder = tmp_path_factory.mktemp("merged")
    write_merges(folder)
    return folder


def write_merges(folder: Path) -> None:
    for family in ("sdxl", "flux", "sd15"):
        for name, seed in (("a", 1), ("b", 2)):
            save(lora(family, seed), folder / f"{family}-{name}.safetensors", format="kohya")
        files = [folder / f"{family}-{name}.safetensors" for name in "ab"]
        request = MergeRequest("direct", weights=[1, 0.6])
        merge_files(FileMerge(files, folder / f"{family}.safetensors", request, format="kohya"))
    save(lora("sdxl", 1), folder / "sdxl-diffusers.safetensors", format="diffusers")


def without(*parts: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: t for key, t in tensors.items() if not any(part in key for part in parts)}


def with_part(end: str, change: Callable[[Tensor], Tensor], within: str = "") -> Callable[[Tensors], Tensors]:
    return lambda tensors: {key: change(t) if key.endswith(end) and within in key else t for key, t in tensors.items()}


def renamed(*pairs: tuple[str, str]) -> Callable[[Tensors], Tensors]:
    """Replace parts of names; a key takes the first that fits."""

    def rename(key: str) -> str:
        return next((key.replace(old, new) for old, new in pairs if old in key), key)

    return lambda tensors: {rename(key): t for key, t in tensors.items()}


def alpha_lost(tensors: Tensors) -> Tensors:
    """What is left of the same deltas with an alpha of half the rank when the alphas are left out."""
    return with_part("lora_up.weight", lambda up: up * 2)(without(".alpha")(tensors))


def rolled(rows: Tensor) -> Tensor:
    """q, k, v in the order k, v, q."""
    return rows.roll(len(rows) // 3, 0)


def thirds(rows: Tensor) -> Tensor:
    """The first 9216 of 21504 rows as if all four parts had one size."""
    return torch.cat([rows[:5376], rows[9216:], rows[5376:9216]])


def kron_swapped(tensors: Tensors) -> Tensors:
    w1, w2 = LOKR["lokr_w1"], LOKR["lokr_w2"]
    return without(f"{Q}.")(tensors) | as_lora(torch.kron(w2, w1))


def plain_product(tensors: Tensors) -> Tensors:
    return without(f"{Q}.")(tensors) | as_lora(LOKR["lokr_w1"] @ LOKR["lokr_w2"][:8, :8])


def as_lora(delta: Tensor) -> Tensors:
    u, s, vh = torch.linalg.svd(delta, full_matrices=False)
    rank = int((s > s[0] * 1e-5).sum())
    return {
        f"{Q}.lora_up.weight": (u[:, :rank] * s[:rank]).contiguous(),
        f"{Q}.lora_down.weight": vh[:rank].contiguous(),
    }


def _lokr() -> Tensors:
    generator = torch.Generator().manual_seed(7)
    low = torch.randn(80, 2, generator=generator) @ torch.randn(2, 80, generator=generator)
    return {"lokr_w1": torch.randn(8, 8, generator=generator), "lokr_w2": low}


LOKR = _lokr()
LOKR_FILE = {f"{Q}.{name}": part for name, part in LOKR.items()}
NINTH = "mid_block.attentions.0.transformer_blocks.9.attn1.to_q"
SWAPPED = MergeRequest("direct", weights=[0.6, 1])
GIVEN = MergeRequest("direct", weights=[1, 0.6])
NO_REQUEST = {"lorarar.method": ""}


@dataclass(frozen=True)
class Fault:
    """A fault that is planted into a correct merge.

    Args:
        plant: Tensors of the merge -> tensors of the faulty file.
        message: What the verification must say.
        family: Family of the merge.
        header: Fields of the header that change.
        request: The request as the user gives it; None takes it from the header.
        parts: Parts of the layer Q in the first input, where they differ.
        tool: The tool that must use every layer.
    """

    plant: Callable[[Tensors], Tensors]
    message: str
    family: str = "sdxl"
    header: Mapping[str, str] = field(default_factory=dict)
    request: MergeRequest | None = None
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    tool: str | None = None


MAGNITUDE = {"dora_scale": torch.rand(640, 1) + 0.5}
FAULTS = {
    "lost keys: a layer": Fault(without(Q9), "1 of 7 layers are missing, first mid_block"),
    "lost keys: a factor": Fault(without(f"{Q}.lora_up"), "cannot be read: .* missing or superfluous parts"),
    "alpha lost": Fault(alpha_lost, "7 of 7 layers have 2 times the strength"),
    "alpha doubled": Fault(with_part(".alpha", lambda a: a * 2, Q), "1 of 7 layers have 2 times the strength"),
    "fused qkv: another order": Fault(with_part("lora_up.weight", rolled, QKV), "3 of 7 .* other values", "flux"),
    "fused qkv: cut at the wrong row": Fault(with_part("lora_up.weight", thirds, LINEAR1), "hold other values", "flux"),
    "swapped inputs": Fault(dict, "weights of the inputs are swapped", request=SWAPPED, header=NO_REQUEST),
    "swapped inputs in a block": Fault(dict, "2 of 7 layers hold other values", request=replace(
        GIVEN, blocks={"mid_block": [0.6, 1 / 0.6]})),
    "dtype overflow to infinity": Fault(with_part(f"{Q}.lora_up.weight", lambda t: t * 1e8), "infinite"),
    "dtype underflow to zero": Fault(with_part(f"{Q}.lora_up.weight", lambda t: (t * 1e-9).half()), "layers are zero"),
    "wrong family in the header": Fault(dict, "cannot be read: .*header", header={
        "ss_base_model_version": "sd_v1", "modelspec.architecture": "stable-diffusion-v1/lora"}),
    "merge of another family": Fault(lambda _: load_file("sd15.safetensors"), "is for sd15, its inputs are for sdxl",
                                     header={"ss_base_model_version": "sd_v1", "modelspec.architecture": ""}),
    "dropped text encoder": Fault(without("lora_te2"), "the text encoder text_encoder_2 is missing"),
    "text encoder under another number": Fault(renamed(("lora_te2", "lora_te3")), "cannot be read: .*found others"),
    "wrong block names: exchanged": Fault(renamed((Q9, Q8), (Q8, Q9)), "2 of 7 layers hold other values"),
    "wrong block names: outside the model": Fault(renamed(("input_blocks_4_1", "input_blocks_5_2")), "cannot be read"),
    "LoKr with exchanged factors": Fault(kron_swapped, "1 of 7 layers hold other values", parts=LOKR),
    "LoKr as a product": Fault(plain_product, "cannot be read: .*found others", parts=LOKR),
    "DoRA without magnitude": Fault(dict, "1 DoRA layers are in the file without their magnitude", parts=MAGNITUDE),
    "magnitude of one input alone": Fault(lambda t: t | {f"{Q}.dora_scale": MAGNITUDE["dora_scale"]},
                                         "cannot be read: .*base"),
    "names of another tool": Fault(lambda _: load_file("sdxl-diffusers.safetensors"), "ignores", tool="ComfyUI"),
    "a negative weight": Fault(with_part(".alpha", lambda a: -a, Q), "have -1 times the strength", header=NO_REQUEST),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_found(name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = verify_planted(FAULTS[name], folder, tmp_path, monkeypatch)
    assert any(re.search(FAULTS[name].message, text) for text in found.faults), found.text()


def verify_planted(fault: Fault, folder: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Verification:
    """Verify a correct merge, then the same with a fault; experiments/verify lists what is said."""
    monkeypatch.chdir(folder)
    files = [folder / f"{fault.family}-{name}.safetensors" for name in "ab"]
    merged = folder / f"{fault.family}.safetensors"
    if fault.parts is LOKR:
        files[0], merged = place / "lokr.safetensors", place / "merged.safetensors"
        save_file(without(f"{Q}.")(load_file(folder / "sdxl-a.safetensors")) | LOKR_FILE, files[0])
        merge_files(FileMerge(files, merged, GIVEN, format="kohya"))
    assert verify_file(merged, files, fault.request and GIVEN).faults == ()
    if fault.parts is MAGNITUDE:
        save_file(load_file(files[0]) | {f"{Q}.dora_scale": MAGNITUDE["dora_scale"]}, place / "dora.safetensors")
        files[0] = place / "dora.safetensors"
    with safe_open(merged, framework="pt") as file:
        header = {key: value for key, value in {**file.metadata(), **fault.header}.items() if value}
    save_file(fault.plant(load_file(merged)), place / "broken.safetensors", header)
    return verify_file(place / "broken.safetensors", files, fault.request, tool=fault.tool)


def test_correct_merges_have_no_fault(folder: Path, tmp_path: Path) -> None:
    """Of every family, dtype and format; a truncation, a merger of deltas and one by coefficients among them."""
    cases = [
        ("sdxl", GIVEN, "kohya", "fp16"),
        ("sdxl", GIVEN, "diffusers", "fp32"),
        ("sdxl", replace(GIVEN, rank=3), "kohya", "bf16"),
        ("sd15", MergeRequest("ties"), "kohya", "fp16"),
        ("sdxl", MergeRequest("auto"), "kohya", "fp16"),
        ("sdxl", MergeRequest("direct", blocks={"mid_block": [0, 2]}, text_encoder=[0.5, 0]), "kohya", "fp16"),
        ("flux", GIVEN, "comfyui", "fp16"),
        ("flux", GIVEN, "diffusers", "bf16"),
    ]
    for family, request, format, dtype in cases:
        files = [folder / f"{family}-{name}.safetensors" for name in "ab"]
        job = FileMerge(files, tmp_path / "x.safetensors", request, format=format, dtype=dtype, force=True)
        assert (merge_files(job)["verified"] or "").startswith(f"verified: {len(LAYERS[family])} layers read again")
        found = verify_file(job.output, files)
        assert found.faults == (), (request, format, found.text())


def test_the_header_states_balance_and_accelerators(folder: Path, tmp_path: Path) -> None:
    """Merges that differ from the merger's defaults have no fault, under other names of the inputs too."""
    for name, seed in (("cat", 1), ("oil", 2), ("lcm", 3)):
        save(lora("sd15", seed), tmp_path / f"{name}.safetensors", format="kohya")
    files, output = [tmp_path / f"{name}.safetensors" for name in ("cat", "lcm", "oil")], tmp_path / "x.safetensors"
    renamed = [folder / "sd15-a.safetensors", tmp_path / "fast.safetensors", folder / "sd15-b.safetensors"]
    renamed[1].write_bytes(files[1].read_bytes())
    requests = [
        (files, MergeRequest("auto")),
        (files, MergeRequest("auto", keep_accelerators=False)),
        (files, MergeRequest("ties", weights=[1, 0.5, 0.8])),
        (files[:2], MergeRequest("auto", balance=0)),
        (files[:2], MergeRequest("auto", balance=0, keep_accelerators=False)),
        (files[::2], MergeRequest("auto", balance=0)),
    ]
    for inputs, request in requests:
        merge_files(FileMerge(inputs, output, request, format="kohya", force=True))
        others = [other for other, file in zip(renamed, files, strict=True) if file in inputs]
        for named in (inputs, others):
            found = verify_file(output, named)
            assert found.faults == (), (request, found.text())
            assert found.error == pytest.approx(0, abs=2e-3)
    with safe_open(output, framework="pt") as file:
        header = dict(file.metadata())
    assert float(header.pop("lorarar.balance")) == 0
    save_file(load_file(output), output, header)  # as it was written before balance 0 was stated
    assert verify_file(output, files[::2]).faults == ()


def test_a_header_with_one_name_of_two_inputs_is_not_repeated(folder: Path, tmp_path: Path) -> None:
    """It does not say which of the two was added unchanged."""
    files = []
    for place, seed, title in (("a", 1, "cat"), ("b", 2, "oil"), ("c", 3, "lcm")):
        (tmp_path / place).mkdir()
        files.append(tmp_path / place / "pytorch_lora_weights.safetensors")
        save(lora("sd15", seed), files[-1], format="kohya", metadata={"modelspec.title": title})
    output = tmp_path / "x.safetensors"
    merge_files(FileMerge(files, output, MergeRequest("direct"), format="kohya"))
    found = verify_file(output, files)
    assert found.faults == ()
    assert "1 pytorch_lora_weights + 1 pytorch_lora_weights" in found.text()


def test_weights_of_a_file_that_another_tool_merged_are_found(folder: Path, tmp_path: Path) -> None:
    """No header states them; one layer that is wrong moves no weight."""
    tensors = load_file(folder / "sdxl.safetensors")
    save_file(tensors, tmp_path / "x.safetensors")
    files = [folder / f"sdxl-{name}.safetensors" for name in "ab"]
    found = verify_file(tmp_path / "x.safetensors", files)
    assert found.explanation is not None
    for weights in found.explanation.weights.values():
        assert weights == pytest.approx((1, 0.6), abs=2e-3)
    assert found.explanation.residual < 2e-3
    save_file(with_part(".alpha", lambda a: a * 3, Q9)(tensors), tmp_path / "y.safetensors")
    found = verify_file(tmp_path / "y.safetensors", files)
    assert found.explanation is not None
    assert found.explanation.weights["denoiser"] == pytest.approx((1, 0.6), abs=2e-3)
    assert found.faults == (f"1 of 7 layers have 3 times the strength (alpha, or a weight), first {NINTH}",)
    assert '"fitting": 6' in json.dumps(found.to_dict())
    found = verify_file(folder / "sdxl.safetensors", files[::-1])  # its header states other inputs, in this order
    assert found.faults == ()
    assert "0.6 sdxl-b + 1 sdxl-a" in found.text()


def test_a_merge_of_other_files_holds_nothing_of_the_inputs(folder: Path, tmp_path: Path) -> None:
    for number, seed in enumerate((8, 9)):
        save(lora("sdxl", seed), tmp_path / f"{number}.safetensors", format="kohya")
    found = verify_file(folder / "sdxl.safetensors", [tmp_path / "0.safetensors", tmp_path / "1.safetensors"])
    assert found.faults == ("the file holds nothing of the inputs: name the files that it was merged from",)
    with pytest.raises(ValueError, match="expected `inputs` with a request, found none"):
        verify_file(folder / "sdxl.safetensors", request=GIVEN)
    with pytest.raises(FormatError, match="does not exist"):
        verify_file(tmp_path / "nothing.safetensors")


def test_names_that_no_tool_knows_are_one_fault(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(lora("sdxl", 1), tmp_path / "x.safetensors", format="diffusers")
    monkeypatch.setattr(verification, "diffusers_view", lambda *_: None)
    monkeypatch.setattr(verification, "_OF_DIFFUSERS", ())
    found = verify_file(tmp_path / "x.safetensors")
    assert found.faults == (
        "none of ComfyUI, sd-scripts uses all layers at full strength: `lorarar convert` writes names that they know",
    )
    assert "7 layers, 1 fault\n" in found.text()
    assert "ComfyUI uses 2 of 7 layers; it ignores 5" in found.text()


def test_a_file_that_is_no_weighted_sum_is_not_blamed(folder: Path, tmp_path: Path) -> None:
    files = [folder / f"sd15-{name}.safetensors" for name in "ab"]
    merge_files(FileMerge(files, tmp_path / "x.safetensors", MergeRequest("ties"), format="kohya"))
    save_file(load_file(tmp_path / "x.safetensors"), tmp_path / "y.safetensors")
    found = verify_file(tmp_path / "y.safetensors", files)
    assert found.faults == ()
    assert "not a weighted sum of the inputs" in found.text()
    assert verify_file(tmp_path / "y.safetensors", files, MergeRequest("ties")).error == pytest.approx(0, abs=2e-3)
    files = [folder / f"sdxl-{name}.safetensors" for name in "ab"]
    save(coefficients_merge(files), tmp_path / "z.safetensors")
    found = verify_file(tmp_path / "z.safetensors", files)
    assert found.faults == ()
    assert found.error == pytest.approx(0, abs=2e-3)
    assert found.explanation is not None
    assert found.explanation.residual > 0.1


def coefficients_merge(files: list[Path]) -> LoRA:
    """A merge with another weight for each column."""
    loras = [load(file) for file in files]
    generator = torch.Generator().manual_seed(0)
    vectors = {path: tuple(torch.rand(layer.shape[1], generator=generator) for _ in loras)
               for path, layer in loras[0].layers.items()}  # fmt: skip
    return replace(merge_exactly(loras, Coefficients(vectors)), family="sdxl")


def test_a_save_that_reads_back_wrong_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def halved(lora: LoRA, path: Path, **more: Any) -> list[Path]:
        return save(scale_layers(lora, dict.fromkeys(lora.layers, 0.5)), path, **more)

    monkeypatch.setattr(files_module, "save", halved)
    files = [folder / f"sdxl-{name}.safetensors" for name in "ab"]
    job = FileMerge(files, tmp_path / "x.safetensors", GIVEN, format="kohya")
    with pytest.raises(
        FormatError, match="does not hold the merge when it is read again: 7 of 7 layers have 0.5 times"
    ):
        merge_files(job)
    assert merge_files(replace(job, force=True, verify=False))["verified"] is None


@pytest.mark.slow
def test_diffusers_view(folder: Path, tmp_path: Path) -> None:
    """diffusers reads a merge in full, and refuses LoKr for SDXL; files in its own names are for it alone."""
    views = {view.tool: view for view in verify_file(folder / "sdxl.safetensors").views}
    assert {tool: view.complete for tool, view in views.items()} == dict.fromkeys(TOOLS, True)
    merged = load(folder / "sdxl.safetensors")
    doubled = scale_layers(merged, {path: 2.0 if path == NINTH else 1.0 for path in merged.layers})
    view = diffusers_view(read_stored(folder / "sdxl.safetensors"), doubled)
    assert view is not None
    assert view.strengths == {1.0: 4, 0.5: 1}
    save(lora("sdxl", 1), tmp_path / "d.safetensors", format="diffusers")
    views = {view.tool: view for view in verify_file(tmp_path / "d.safetensors").views}
    assert views["diffusers"].complete
    assert not views["ComfyUI"].complete
    save_file(without(f"{Q}.")(load_file(folder / "sdxl-a.safetensors")) | LOKR_FILE, tmp_path / "k.safetensors")
    refused = next(view for view in verify_file(tmp_path / "k.safetensors").views if view.tool == "diffusers")
    assert "it refuses the file" in refused.text()
