"""Nodes that check: a merged file against its inputs, images by a judge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import folder_paths
import torch
from PIL import Image

from lorarar.datasets import pixel_hash, save_image, to_bytes
from lorarar.evaluation.judge import judge
from lorarar.mergers import MergeRequest, parse_options
from lorarar.storage import digest, write_json
from lorarar.workflows import verify_file

from .shared import (
    CATEGORY,
    NONE,
    Entry,
    Inputs,
    chosen,
    closed_forms,
    files,
    lora_inputs,
    merge_request,
    path_of,
    shown,
    shown_progress,
    state_of,
)

IMAGES = "images/content+style"
STATED, ANY = "what the file states", "any of them"


class Verify:
    """Check a merged LoRA file, of any tool, against the files that it was merged from."""

    TITLE = "Verify merged LoRA (lorarar)"
    CATEGORY, FUNCTION = CATEGORY, "run"
    RETURN_TYPES, RETURN_NAMES = ("STRING", "BOOLEAN"), ("report", "without_fault")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "merged": (files(), {"tooltip": "The merged file."}),
                "tool": (["ComfyUI", "sd-scripts", "diffusers", ANY], {"tooltip": "Must use every layer."}),
                "method": (
                    [STATED, *closed_forms()],
                    {"tooltip": "What the file is compared with: the request that its header states, else the weights "
                     "that explain it best; or this method at the weights below (direct is a plain sum)."},
                ),
            },
            "optional": {**lora_inputs(), "options": ("STRING", {"default": "", "tooltip": "Settings of the method."})},
        }  # fmt: skip

    @classmethod
    def IS_CHANGED(cls, merged: str, content: str = NONE, style: str = NONE, **more: Any) -> str:
        return state_of([merged, content, style], **more)

    def run(
        self,
        merged: str,
        tool: str,
        method: str,
        content: str = NONE,
        content_weight: float = 1.0,
        style: str = NONE,
        style_weight: float = 1.0,
        lora_stack: Sequence[Entry] | None = None,
        text_encoder: float = 1.0,
        block_weights: str = "",
        options: str = "",
    ) -> dict[str, Any]:
        """Return what was found, and whether the file has no fault.

        Raises:
            FormatError: An input cannot be read.
            ValueError: The inputs do not fit each other or the method.
        """
        entries = chosen([(content, content_weight), (style, style_weight)], lora_stack, least=0)
        request: MergeRequest | None = None
        if method != STATED:
            request = merge_request(entries, text_encoder, block_weights, merger=method, options=parse_options(options))
        with shown_progress(), torch.inference_mode(False), torch.no_grad():
            inputs = [path_of(name) for name, _, _ in entries]
            found = verify_file(path_of(merged), inputs, request, tool=None if tool == ANY else tool)
        return shown(found.text(), also=(not found.faults,))


class Judge:
    """Ask a multimodal model whether images show a content and have a style, by reference images of both."""

    TITLE = "Judge images (lorarar)"
    CATEGORY, FUNCTION = CATEGORY, "run"
    RETURN_TYPES = ("STRING", "STRING", "FLOAT")
    RETURN_NAMES = ("report", "verdicts", "score")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "images": ("IMAGE", {"tooltip": "Images to judge."}),
                "content": ("STRING", {"default": "cat", "tooltip": "What the content is called in a question."}),
                "content_references": ("IMAGE", {"tooltip": "Images of the content; two or more are better."}),
                "style": ("STRING", {"default": "oil painting", "tooltip": "What the style is called."}),
                "style_references": ("IMAGE", {"tooltip": "Images of the style; two or more are better."}),
                "judge": (
                    "STRING",
                    {"default": "openai:MODEL@http://127.0.0.1:8000/v1", "tooltip": "openai:MODEL@URL for a server, "
                     "whose key is LORARAR_API_KEY; transformers:FOLDER for a model here; tiny for the toy world."},
                ),
                "calibration": (
                    "INT",
                    {"default": 4, "min": 1, "max": 64, "tooltip": "Questions of each kind with known answers, asked "
                     "first: 4 are about 60 calls."},
                ),
                "uncalibrated": (
                    "BOOLEAN",
                    {"default": False, "tooltip": "Ask about the images even if the judge fails its calibration."},
                ),
            }
        }  # fmt: skip

    def run(
        self,
        images: torch.Tensor,
        content: str,
        content_references: torch.Tensor,
        style: str,
        style_references: torch.Tensor,
        judge: str,
        calibration: int,
        uncalibrated: bool,
    ) -> dict[str, Any]:
        """Return a report, a line for each image, and the share of images that are right on both axes.

        The share is nan where an image is unscored, which is never a no.

        Raises:
            ValueError: A name is empty, the back end does not exist, or the calibration is too short.
            ConnectionError: The server does not answer.
        """
        batches = {IMAGES: images, "content": content_references, "style": style_references}
        if not content.strip() or not style.strip():
            raise ValueError("expected what content and style are called, such as cat and oil painting, found nothing")
        with shown_progress(), torch.inference_mode(False), torch.no_grad():
            folder = _run_folder(batches, [content, style, judge, calibration])
            found = _judge(folder, {"content": content, "style": style}, judge, calibration, uncalibrated)
        scores = found.results.images if found.results else []
        lines = [f"{score.item.seed}: {_axis('content', score)}, {_axis('style', score)}" for score in scores]
        return shown(repr(found), "\n".join(lines), also=(_share([score.correct for score in scores]),))


NODES: dict[str, Any] = {"Verify": Verify, "Judge": Judge}


def _run_folder(batches: Mapping[str, torch.Tensor], settings: Sequence[Any]) -> Path:
    """Write the images, and return the folder of the run, which is the same for the same images and settings."""
    pictures = {
        name: [Image.fromarray(to_bytes(image.movedim(-1, 0)[:3])) for image in batch]
        for name, batch in batches.items()
    }
    hashes = {name: list(map(pixel_hash, images)) for name, images in pictures.items()}
    folder = Path(folder_paths.get_output_directory()) / "lorarar_judge" / digest([hashes, settings])[:16]
    for name, images in pictures.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            save_image(image, folder / name / f"{number}.png")
    return folder


def _judge(folder: Path, names: Mapping[str, str], backend: str, cases: int, uncalibrated: bool) -> Any:
    """Judge the images of a folder; replies of an earlier run are kept."""
    concepts = [{"name": axis, "kind": axis, "question": name} for axis, name in names.items()]
    write_json(folder / "concepts.json", {"concepts": concepts})
    return judge(
        folder / "images",
        folder / "concepts.json",
        output=folder / "run",
        layout="{content}+{style}/{seed}.png",
        backend=backend,
        cases=cases,
        uncalibrated=uncalibrated,
    )


def _axis(axis: str, score: Any) -> str:
    """Return the verdict of an image on one axis; "unscored" is not a no."""
    passes = score.axes[axis].passes()
    return f"{axis} {'unscored' if passes is None else 'yes' if passes else 'no'}"


def _share(correct: Sequence[bool | None]) -> float:
    """Return the share of right images; nan where the share is not known."""
    return math.nan if None in correct or not correct else sum(map(bool, correct)) / len(correct)
