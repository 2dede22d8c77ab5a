"""lorarar.evaluation.judge.ask.backends.transformers: plain arithmetic on the model, batches, families, refusals."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as t
from PIL import Image
from safetensors.torch import load_file, save_file

from lorarar.datasets.images import load_image, pixel_hash
from lorarar.evaluation.judge.ask.backends.loading import open_backend
from lorarar.evaluation.judge.ask.backends.transformers import TransformersBackend, open_transformers
from lorarar.evaluation.judge.read.parsing import parse_reply
from lorarar.evaluation.judge.records import Answer, Backend, Question
from lorarar.storage import MissingPackage
from tests.evaluation.judge.ask.backends import families

needs_no_torchvision = pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
TEXTS = ["a b c d e f g h", "c", "b b b d d d e e e a a a f f f", "a ? b"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {
        "llava": families.save(*families.llava(), root / "llava"),
        "idefics3": families.save(*families.idefics3(), root / "idefics3"),
    }


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = []
    for i, shape in enumerate([(32, 32, 3), (48, 40, 3), (30, 44, 3), (600, 520, 3)]):
        paths.append(root / f"{i}.png")
        Image.fromarray(random.integers(256, size=shape, dtype=np.uint8)).save(paths[-1])
    return paths


def question(pictures: list[Path], text: str, first: int, second: int, answer: Answer = "yes_no") -> Question:
    images = (str(pictures[first]), str(pictures[second]))
    pixels = tuple(pixel_hash(load_image(Path(path))) for path in images)
    return Question(f"{text}{first}{second}", "item", "content", images[0], "r", images, pixels, text, answer)


def questions(pictures: list[Path], answer: Answer = "yes_no") -> list[Question]:
    pairs = [(0, 1), (1, 0), (2, 3), (3, 3)]
    return [question(pictures, text, *pair, answer) for text, pair in zip(TEXTS, pairs, strict=True)]


def test_llava_is_what_its_own_forward_says(checkpoints: dict[str, Path], pictures: list[Path]) -> None:
    """One question by hand: the prompt written out, no template, no padding, all logits."""
    backend: Backend = TransformersBackend(str(checkpoints["llava"]))
    asked = question(pictures, "a b h", 1, 3)
    (reply,) = backend.ask([asked])
    processor = t.AutoProcessor.from_pretrained(checkpoints["llava"])
    model = t.LlavaForConditionalGeneration.from_pretrained(checkpoints["llava"])
    images = [Image.open(path).resize((32, 32), Image.Resampling.BICUBIC) for path in (pictures[1],)]
    shrunk = load_image(pictures[3])
    assert max(shrunk.size) == 512
    images.append(shrunk.resize((32, 32), Image.Resampling.BICUBIC))
    pixels = torch.from_numpy(np.stack([np.asarray(i) for i in images])).permute(0, 3, 1, 2).float() / 127.5 - 1
    ids = processor.tokenizer("<image>" * 32 + " a b h ?", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logs = model(input_ids=ids, pixel_values=pixels).logits[0, -1].log_softmax(0)
    vocabulary = processor.tokenizer.get_vocab()
    found = dict(reply.top)
    assert set(families.YES_NO) <= set(found)
    for token, log in found.items():
        assert log == pytest.approx(float(logs[vocabulary[token]]), abs=1e-4)
    assert reply.text == processor.tokenizer.decode([int(logs.argmax())])
    assert (reply.complete, reply.failure, reply.usage["prompt_tokens"]) == (True, "", 36)
    yes = sum(float(logs[vocabulary[token]].exp()) for token in ("yes", "Yes", "\u2581yes"))
    no = sum(float(logs[vocabulary[token]].exp()) for token in ("no", "NO", "\u0120no", "no."))
    verdict = parse_reply(reply, asked)
    if yes + no >= 0.5:
        assert verdict.p_yes == pytest.approx((yes / (yes + no),) * 2, abs=1e-4)
    else:
        assert verdict.state == "abstain"


@pytest.mark.parametrize("family", ["llava", "idefics3"])
def test_the_batch_changes_nothing(checkpoints: dict[str, Path], pictures: list[Path], family: str) -> None:
    asked = questions(pictures)
    alone = TransformersBackend(str(checkpoints[family]), batch=1)
    together = TransformersBackend(str(checkpoints[family]), batch=4)
    one, four = alone.ask(asked), together.ask(asked)
    assert alone.identity == together.identity
    assert len({reply.top for reply in one}) == len(asked)  # the questions differ, and so do their answers
    for a, b, q in zip(one, four, asked, strict=True):
        assert [token for token, _ in a.top] == [token for token, _ in b.top]
        assert [log for _, log in a.top] == pytest.approx([log for _, log in b.top], abs=1e-4)
        assert parse_reply(a, q).value == parse_reply(b, q).value


def test_written_answers_do_not_depend_on_the_batch(checkpoints: dict[str, Path], pictures: list[Path]) -> None:
    asked = questions(pictures, "scale")
    one = TransformersBackend(str(checkpoints["llava"]), answer="scale", batch=1).ask(asked)
    four = TransformersBackend(str(checkpoints["llava"]), answer="scale", batch=4).ask(asked)
    assert [(r.text, r.finish_reason) for r in one] == [(r.text, r.finish_reason) for r in four]
    assert all(reply.top == () and not reply.failure for reply in one)
    assert {reply.finish_reason for reply in one} <= {"stop", "length"}
    assert any(reply.text for reply in one)


def test_pairwise_reads_letters(checkpoints: dict[str, Path], pictures: list[Path]) -> None:
    (reply,) = TransformersBackend(str(checkpoints["llava"]), answer="pairwise").ask(
        [question(pictures, "a b", 0, 1, "pairwise")]
    )
    assert {"a", "b"} <= {token for token, _ in reply.top}
    assert "yes" not in dict(reply.top)


def test_a_bad_image_fails_alone(checkpoints: dict[str, Path], pictures: list[Path], tmp_path: Path) -> None:
    asked = questions(pictures)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    asked[1] = Question("b", "item", "content", "", "r", (str(broken), str(broken)), ("", ""), "a")
    replies = TransformersBackend(str(checkpoints["llava"]), batch=4).ask(asked)
    assert [bool(reply.failure) for reply in replies] == [False, True, False, False]
    assert replies[1].invalid_input
    assert parse_reply(replies[1], asked[1]).state == "invalid_input"


def test_an_error_of_the_model_is_a_reply(checkpoints: dict[str, Path], pictures: list[Path]) -> None:
    """A template that writes too few image tokens: the processor raises, the run goes on."""
    backend = TransformersBackend(str(checkpoints["llava"]), batch=4)
    asked = questions(pictures)
    original = backend._processor.apply_chat_template

    def broken(turns: list[dict[str, object]], **options: object) -> str:
        text = original(turns, **options)
        return text.replace("<image>", "", 1) if text.endswith("c ?") else text

    backend._processor.apply_chat_template = broken
    replies = backend.ask(asked)
    assert [bool(reply.failure) for reply in replies] == [False, True, False, False]
    assert not replies[1].invalid_input
    assert parse_reply(replies[1], asked[1]).state == "error"


def test_output_that_is_no_number_is_a_failure(checkpoints: dict[str, Path], pictures: list[Path]) -> None:
    backend = TransformersBackend(str(checkpoints["llava"]))
    with torch.no_grad():
        backend._model.lm_head.weight[3] = float("nan")
    (reply,) = backend.ask(questions(pictures)[:1])
    assert "not finite" in reply.failure


@needs_no_torchvision
@pytest.mark.parametrize(
    ("model", "processor", "image_processor"),
    [
        (families.llava_onevision_model, "LlavaOnevisionProcessor", "LlavaOnevisionImageProcessor"),
        (families.qwen2_vl_model, "Qwen2VLProcessor", "Qwen2VLImageProcessor"),
    ],
)
def test_what_needs_torchvision_says_so(model, processor: str, image_processor: str, tmp_path: Path) -> None:
    folder = families.save_without_processor(model(), processor, image_processor, tmp_path)
    with pytest.raises(
        MissingPackage, match="the package torchvision for the processor of .*pip install torchvision.*openai back end"
    ):
        TransformersBackend(str(folder))


@needs_no_torchvision
def test_a_misleading_error_says_so_too(checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What some processors raise when torchvision is missing."""

    def load(*_: object, **__: object) -> None:
        raise AttributeError("type object 'VIDEO_PROCESSOR_MAPPING' has no attribute '_extra_content'")

    monkeypatch.setattr(t.AutoProcessor, "from_pretrained", load)
    with pytest.raises(MissingPackage, match="the package torchvision for the processor of"):
        TransformersBackend(str(checkpoints["llava"]))


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llava_qwen", "architectures": ["LlavaQwenForCausalLM"]},
        {"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"]},
        {"model_type": "llava_llama"},
    ],
)
def test_the_original_llava_layout_is_refused(config: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"LLaVA-NeXT code .*converted checkpoint.*vLLM.*openai back end"):
        TransformersBackend(str(tmp_path))


def test_only_safetensors_are_read(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    for path in checkpoints["llava"].iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save(load_file(checkpoints["llava"] / "model.safetensors"), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="expected weights in safetensors files"):
        TransformersBackend(str(tmp_path))


def test_a_template_is_asked_for(tmp_path: Path) -> None:
    processor, model = families.llava()
    processor.chat_template = None
    with pytest.raises(ValueError, match="expected a chat template"):
        TransformersBackend(str(families.save(processor, model, tmp_path)))


def test_the_words_must_be_tokens(tmp_path: Path) -> None:
    folder = families.save(*families.llava(["yes", "nope"]), tmp_path)
    with pytest.raises(ValueError, match=r"\['no'\] to be tokens"):
        TransformersBackend(str(folder))
    TransformersBackend(str(folder), answer="pairwise")  # which needs others


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a model folder or a hub id, found .*nothing"):
        TransformersBackend(str(tmp_path / "nothing"))


def test_the_revision_follows_the_weights(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    for path in checkpoints["llava"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    first = open_transformers(str(tmp_path)).identity
    assert first == open_transformers(str(checkpoints["llava"])).identity  # the same files in another folder
    assert first["name"] == "transformers"
    assert str(first["revision"]).startswith("sha256:")
    weights = load_file(tmp_path / "model.safetensors")
    next(iter(weights.values())).add_(1)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert open_transformers(str(tmp_path)).identity["revision"] != first["revision"]


def test_settings_come_with_the_name(checkpoints: dict[str, Path]) -> None:
    name = f"transformers:{checkpoints['llava']}?dtype=bf16&batch=3"
    backend = open_backend(name)
    assert (backend.batch, backend.identity["dtype"], backend.concurrency) == (3, "bf16", 1)
    with pytest.raises(ValueError, match="settings of batch, dtype, revision"):
        open_backend(f"{name}&threads=2")
    with pytest.raises(ValueError, match="expected a dtype of"):
        open_backend(f"transformers:{checkpoints['llava']}?dtype=int8")


def test_the_identity_names_the_device_that_auto_takes(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    automatic = open_backend(f"transformers:{checkpoints['llava']}").identity
    assert (automatic["device"], automatic["dtype"]) == ("cpu", "fp32")
    assert automatic == TransformersBackend(str(checkpoints["llava"]), device="cpu").identity
    with pytest.raises(ValueError, match="expected a device of this machine .*, found 'cuda'"):
        TransformersBackend(str(checkpoints["llava"]), device="cuda")
