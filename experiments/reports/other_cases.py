"""Cases about images, training and the judge: what the reports describe, built small and tried."""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
from files import Case, Outcome
from PIL import Image

from lorarar.datasets import ImageError, list_images, load_image
from lorarar.evaluation.judge.ask.backends.capabilities import Capabilities, ServerTrial, find_capabilities
from lorarar.evaluation.judge.ask.backends.completions import read_completion
from lorarar.evaluation.judge.ask.backends.openai import OpenAIBackend, Patience
from lorarar.evaluation.judge.read.parsing import parse_reply
from lorarar.evaluation.judge.records import Answer, Question, Reply
from lorarar.storage import ConfigError, load_config
from lorarar.training.settings import Recipe


def folder() -> Path:
    return Path(tempfile.mkdtemp())


def photo() -> Image.Image:
    return Image.fromarray(np.arange(32 * 48 * 3, dtype=np.uint8).reshape(32, 48, 3))


def turned() -> Outcome:
    path, tags = folder() / "x.jpg", Image.Exif()
    tags[0x0112] = 6
    photo().save(path, exif=tags)
    return Outcome("right" if load_image(path).size == (32, 48) else "wrong", str(load_image(path).size))


def sixteen_bits() -> Outcome:
    path = folder() / "x.png"
    Image.fromarray(np.linspace(0, 65535, 4096).astype(np.uint16).reshape(64, 64)).save(path)
    levels = len(np.unique(np.asarray(load_image(path))))
    return Outcome("right" if levels == 256 else "wrong", f"{levels} levels of grey")


def hidden_files() -> Outcome:
    root = folder()
    (root / ".ipynb_checkpoints").mkdir()
    for name in ("a.png", ".ipynb_checkpoints/a-checkpoint.png"):
        photo().save(root / name)
    (root / "._a.png").write_bytes(b"\x00\x05\x16\x07")
    (root / ".DS_Store").write_bytes(b"x")
    found = [path.relative_to(root).as_posix() for path in list_images(root, recursive=True)]
    return Outcome("right" if found == ["a.png"] else "wrong", str(found))


def other_formats() -> Outcome:
    root = folder()
    for name in ("a.png", "B.JPG", "c.jpeg", "d.webp", "e.bmp", "f.tif"):
        photo().save(root / name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = len(list_images(root))
    said = " ".join(str(warning.message).partition(": ")[2] for warning in caught)
    return Outcome("told" if found == 4 and "2 images" in said else "wrong", said or f"{found} of 6 without a word")


def damaged_image() -> Outcome:
    path = folder() / "x.png"
    path.write_bytes(b"\x00\x05\x16\x07")
    try:
        load_image(path)
    except ImageError as error:
        return Outcome("refused", str(error))
    return Outcome("wrong", "read")


def gamma_of_zero() -> Outcome:
    path = folder() / "recipe.yaml"
    path.write_text("rank: 4\nalphas: [4]\nsteps: 10\nimages: 1\nlearning_rate: 1e-3\nmin_snr_gamma: 0\n")
    try:
        load_config(Recipe, path)
    except ConfigError as error:
        return Outcome("refused", str(error).splitlines()[-1].strip())
    return Outcome("wrong", "accepted")


def question(answer: Answer) -> Question:
    return Question("q", "i", "content", "r", "mars2", ("a", "b"), ("", ""), "Same?", answer)


def votes(answer: Answer, cases: dict[str, float | None]) -> Outcome:
    """Return whether texts are read as these values: "wrong" for a vote against one, "unclear" for one that is lost."""
    read = {text: parse_reply(Reply(text=text, finish_reason="stop"), question(answer)).value for text in cases}
    against = [text for text, value in read.items() if value is not None and value != cases[text]]
    lost = [text for text, value in read.items() if value is None and cases[text] is not None]
    if against:
        return Outcome("wrong", f"{against[0]!r} is read as {read[against[0]]}")
    return Outcome("unclear" if lost else "right", f"lost: {lost}" if lost else f"{len(cases)} replies")


def decimals() -> Outcome:
    return votes("scale", {"2.0": 0.5, "4.0/4": 1.0, "0.8": None, ".8": None, "8e-1": None, "85": None})


def result_marks() -> Outcome:
    feedback = "Feedback: it keeps its spots. [RESULT] 3"
    return votes("scale", {feedback: 0.75, "<score>1</score>": 0.25, "0: nothing. 4: all.\n[RESULT] 0 to 4": None})


def last_verdict() -> Outcome:
    replies = {"At first [[A]] seems right. Final verdict: [[B]]": 0.0, "[[A]] or [[B]]": None, "[[A]]": 1.0}
    return votes("pairwise", replies)


def quoted_score() -> Outcome:
    flags = '{"same": "0.8", "leak": false, "copy": false}'
    return votes("json", {flags: None, flags.replace('"0.8"', "true"): 1.0})


def word_inside_a_word() -> Outcome:
    return votes("yes_no", {"INCORRECT": None, "CORRECT": None, "No": 0.0, "Nothing differs, yes?": None})


def logprobs(text: str, entries: list[tuple[str, float]]) -> Reply:
    top = [{"token": token, "logprob": log} for token, log in entries]
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    return read_completion(json.dumps({"model": "m", "choices": [choice]}).encode(), "yes_no")


def token_numbers() -> Outcome:
    verdict = parse_reply(logprobs("Yes", [("token_id:9693", -0.1), ("token_id:2152", -2.4)]), question("yes_no"))
    return Outcome("right" if verdict.value == 1 else "unclear", verdict.reason or "Yes")


def tokens_against_text() -> Outcome:
    verdict = parse_reply(logprobs("No", [("Yes", -0.1), ("No", -2.4)]), question("yes_no"))
    return Outcome("right" if verdict.state == "abstain" else "wrong", verdict.reason)


def probabilities_as_logs() -> Outcome:
    verdict = parse_reply(logprobs("Yes", [("Yes", 0.9), ("No", 0.1)]), question("yes_no"))
    return Outcome("right" if (verdict.value, verdict.p_yes) == (1, None) else "wrong", "read from the text alone")


def one_image_a_request() -> Outcome:
    """The first request of a run is shown to a server that takes one image."""
    backend = OpenAIBackend("m", "http://127.0.0.1:9/v1", "", "yes_no", 1, Patience(call=0.1, total=0.1, attempts=1))
    sent: list[bytes] = []
    exchange = backend._exchange_with_retries
    backend._exchange_with_retries = lambda request, *rest: (sent.append(request), exchange(request, *rest))[1]  # type: ignore[method-assign]

    def attempt(capabilities: Capabilities) -> ServerTrial:
        backend.attempt(capabilities)
        if sent[-1].count(b"image_url") > 2:  # a type and a URL for each image
            return ServerTrial(400, "HTTP 400: At most 1 image(s) may be provided in one request.")
        return ServerTrial(200, model="m")

    try:
        find_capabilities(attempt, "yes_no", url="http://x/v1")
    except ValueError as error:
        return Outcome("refused", str(error))
    return Outcome("wrong", "found at the first question only")


CASES: dict[str, Case] = {
    "musubi-tuner#695": turned,
    "unsloth#10094": sixteen_bits,
    "autotrain-advanced#264": hidden_files,
    "sd_dreambooth_extension#44": damaged_image,
    "flymyai-lora-trainer#72": other_formats,
    "unsloth#6791": gamma_of_zero,
    "vllm#13513": one_image_a_request,
    "vllm#57574": token_numbers,
    "llama.cpp#4166": tokens_against_text,
    "cortex.llamacpp#262": probabilities_as_logs,
    "FastChat#3921": last_verdict,
    "uqlm#468": decimals,
    "prometheus-eval#58": result_marks,
    "opik#7758": quoted_score,
    "taosmd#176": word_inside_a_word,
}
