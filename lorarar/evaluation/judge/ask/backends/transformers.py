"""Multimodal models in this process, through transformers: p(yes) from one forward pass."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import torch
import transformers
from PIL import Image
from torch import Tensor

from lorarar.datasets import LONGEST_SIDE, ImageError
from lorarar.evaluation.judge.ask.backends.checkpoints import load_checkpoint
from lorarar.evaluation.judge.ask.backends.encoding import load_question_images
from lorarar.evaluation.judge.read.probabilities import spelling
from lorarar.evaluation.judge.records import Answer, Question, Reply
from lorarar.lora import DTYPES, pick_device
from lorarar.storage import say_device

# One-word answers come from one forward pass; other answers are generated, up to these numbers of tokens.
_WORDS: Mapping[Answer, tuple[str, str]] = {"yes_no": ("yes", "no"), "pairwise": ("a", "b")}
_LENGTHS: Mapping[Answer, int] = {"scale": 64, "json": 192, "text": 96}

LoadedQuestion = tuple[Question, Sequence[Image.Image]]


def open_transformers(name: str, *, answer: Answer = "yes_no", device: str = "auto") -> TransformersBackend:
    """Open a model by name; the default dtype is fp32 on a CPU and fp16 elsewhere.

    Args:
        name: A folder or hub id with optional settings, such as "FOLDER?dtype=bf16&batch=4&revision=main".
        answer: The form of the answers.

    Raises:
        ValueError: A setting is unknown, or the model cannot be used.
    """
    model, _, settings = name.partition("?")
    options: dict[str, Any] = dict(parse_qsl(settings, strict_parsing=bool(settings)))
    if unknown := options.keys() - {"dtype", "batch", "revision"}:
        raise ValueError(f"{name}: expected settings of batch, dtype, revision, found {sorted(unknown)}")
    if "batch" in options:
        options["batch"] = int(options["batch"])
    place = str(pick_device(device))
    options.setdefault("dtype", "fp32" if place == "cpu" else "fp16")
    return TransformersBackend(model, answer=answer, device=place, **options)


class TransformersBackend:
    """A back end on a model in this process. It decodes greedily; an answer does not depend on the batch.

    Args:
        model: A folder in transformers' layout, or a hub id; safetensors only, without code from the checkpoint.
        answer: The form of the answers; the words of a one-word answer must be tokens.
        revision: Of a hub id.
        device: Of the model, a name for `lorarar.lora.pick_device`.
        dtype: "fp32", "fp16" or "bf16".
        batch: Questions in one forward pass.

    Raises:
        ValueError: The model cannot be used; the message gives the remedy.
    """

    def __init__(
        self,
        model: str,
        *,
        answer: Answer = "yes_no",
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "fp32",
        batch: int = 8,
    ) -> None:
        if dtype not in DTYPES or batch < 1:
            raise ValueError(f"expected a dtype of {sorted(DTYPES)} and a positive batch, found {dtype!r} and {batch}")
        device = str(pick_device(device))  # what ran is the identity, not "auto"
        say_device(device, dtype)
        loaded = load_checkpoint(model, revision=revision, device=device, dtype=DTYPES[dtype])
        self._processor, self._model, self._device, self._batch = loaded.processor, loaded.model, device, batch
        self._identity: dict[str, str | int] = {
            "name": "transformers",
            **({} if loaded.local else {"model": model}),  # the hash of a folder's files is enough: it may be moved
            "revision": loaded.revision,
            "dtype": dtype,
            "device": device,
            "longest_side": LONGEST_SIDE,
            "transformers": transformers.__version__,
        }
        self._name = loaded.revision if loaded.local else model
        self._variants = {answer: _variants(self._processor.tokenizer, words) for answer, words in _WORDS.items()}
        missing = set(_WORDS.get(answer, ())) - {spelling(token) for token in self._variants.get(answer, {}).values()}
        if missing:
            raise ValueError(f"{model}: expected {sorted(missing)} to be tokens of its vocabulary, found none of them")

    @property
    def identity(self) -> Mapping[str, Any]:
        """Hub id (if any), revision, dtype, device and version of transformers."""
        return self._identity

    @property
    def concurrency(self) -> int:
        """One, since the model answers in batches."""
        return 1

    @property
    def batch(self) -> int:
        """The number of questions in one forward pass."""
        return self._batch

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """Return one reply for each question, in order; failures are replies, never exceptions."""
        replies: dict[int, Reply] = {}
        loaded: dict[Answer, list[tuple[int, LoadedQuestion]]] = {}
        for i, question in enumerate(questions):
            try:
                loaded.setdefault(question.answer, []).append((i, (question, load_question_images(question))))
            except ImageError as error:
                replies[i] = Reply(failure=str(error), invalid_input=True)
        for answer, members in loaded.items():
            for start in range(0, len(members), self._batch):
                part = members[start : start + self._batch]
                answers = self._answer(answer, [question for _, question in part])
                replies |= dict(zip([i for i, _ in part], answers, strict=True))
        return [replies[i] for i in range(len(questions))]

    def _answer(self, answer: Answer, questions: Sequence[LoadedQuestion]) -> list[Reply]:
        """Answer questions of one form. If a batch fails, each question is asked alone, since one may be the cause."""
        start = time.perf_counter()
        try:
            with torch.inference_mode():
                generate = self._choose if answer in _WORDS else self._write
                fields = generate(answer, questions)
        except Exception as error:  # out of memory, an image too thin for the model's patches: the run goes on
            if len(questions) > 1:
                return [reply for question in questions for reply in self._answer(answer, [question])]
            return [Reply(failure=f"{type(error).__name__}: {error}"[:300])]
        seconds = (time.perf_counter() - start) / len(questions)
        return [Reply(**entry, model=self._name, seconds=seconds) for entry in fields]

    def _choose(self, answer: Answer, questions: Sequence[LoadedQuestion]) -> list[dict[str, Any]]:
        """Return the log-probabilities of both words' variants after the prompt, from one forward pass."""
        inputs = self._encode(questions, side="right")
        logs = last_logits(self._model, inputs).float().log_softmax(-1).cpu()
        if bool(logs.isnan().any()):
            raise FloatingPointError(f"the model's output is not finite in {self._identity['dtype']}: try bf16 or fp32")
        replies = []
        for row, length in zip(logs, inputs["attention_mask"].sum(1).tolist(), strict=True):
            best = int(row.argmax())
            listed = {best: self._processor.tokenizer.decode([best])} | self._variants[answer]
            replies.append(
                {
                    "text": listed[best],
                    "finish_reason": "stop",
                    "top": tuple(
                        (token, float(row[i])) for i, token in sorted(listed.items(), key=lambda t: -row[t[0]])
                    ),
                    "complete": True,
                    "usage": {"prompt_tokens": length, "completion_tokens": 1},
                }
            )
        return replies

    def _write(self, answer: Answer, questions: Sequence[LoadedQuestion]) -> list[dict[str, Any]]:
        """Generate texts greedily; a text that reaches the limit has the finish_reason "length"."""
        inputs = self._encode(questions, side="left")
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        tokenizer = self._processor.tokenizer
        plain = transformers.GenerationConfig(
            do_sample=False,
            max_new_tokens=_LENGTHS[answer],
            eos_token_id=sorted(ends - {None}) or None,
            pad_token_id=tokenizer.pad_token_id,
        )
        written = self._model.generate(**inputs, generation_config=plain)[:, inputs["input_ids"].shape[1] :].tolist()
        replies = []
        for tokens, length in zip(written, inputs["attention_mask"].sum(1).tolist(), strict=True):
            end = next((i for i, token in enumerate(tokens) if token in ends), None)
            replies.append(
                {
                    "text": tokenizer.decode(tokens[:end], skip_special_tokens=True).strip(),
                    "finish_reason": "length" if end is None else "stop",
                    "usage": {"prompt_tokens": length, "completion_tokens": len(tokens) if end is None else end + 1},
                }
            )
        return replies

    def _encode(self, questions: Sequence[LoadedQuestion], side: str) -> dict[str, Tensor]:
        """Return the model's inputs, padded on one side."""
        prompts = [
            self._processor.apply_chat_template(
                messages(question.text, len(images)), add_generation_prompt=True, tokenize=False
            )
            for question, images in questions
        ]
        images = [list(images) for _, images in questions]
        encoded = self._processor(images=images, text=prompts, padding=True, padding_side=side, return_tensors="pt")
        dtype = self._model.dtype
        return {
            name: value.to(self._device, dtype) if value.is_floating_point() else value.to(self._device)
            for name, value in encoded.items()
        }


def messages(text: str, images: int) -> list[dict[str, Any]]:
    """Return a user message for a chat template: images, then a text."""
    content = [{"type": "image"} for _ in range(images)]
    return [{"role": "user", "content": [*content, {"type": "text", "text": text}]}]


def last_logits(model: torch.nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """Return logits (batch, vocabulary) after each sequence's last token, for inputs with padding on the right.

    With padding on the right, the positions and the causal attention of a sequence do not depend on the rest of the
    batch, however a model counts positions. Only the last tokens' logits are computed.
    """
    ends = inputs["attention_mask"].sum(1) - 1
    kept, row = torch.unique(ends, return_inverse=True)
    logits: Tensor = model(**inputs, logits_to_keep=kept, use_cache=False).logits
    return logits[torch.arange(len(ends), device=ends.device), row]


def _variants(tokenizer: Any, words: tuple[str, str]) -> dict[int, str]:
    """Return the tokens of a vocabulary that spell one of two words, by id."""
    return {i: token for token, i in tokenizer.get_vocab().items() if spelling(token) in words}
