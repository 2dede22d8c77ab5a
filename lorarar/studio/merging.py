"""Merging: the second to fourth step of the page: how to merge, a preview, and the file."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import gradio as gr

from lorarar.datasets import AXES
from lorarar.diffusion import Sampling
from lorarar.mergers import MERGERS
from lorarar.studio import actions, views
from lorarar.studio.choices import GOALS, SIZES, TOOLS, parse_columns
from lorarar.studio.context import BALANCES, MISTAKES, Context, error_message, read_seeds

Updates = Generator[list[Any], None, None]
_GOALS = {
    "fast": "Fast: from the files alone",
    "base": "With a base model",
    "images": "With my images",
    "words": "By words",
}
_IMAGES = [".png", ".jpg", ".jpeg", ".webp"]
_GUIDANCE = 5.0
_LOOK = (
    "<h2>3 · Look before you save</h2><p class='soft'>One sheet: each LoRA alone, then methods by weights, "
    "with the same seeds.</p>"
)


class MergingPart:
    """The components of these steps, and what they do.

    Args:
        context: What the parts share.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self._add_method()
        self._add_preview()
        self._add_save()

    def _add_method(self) -> None:
        fields = self.context.fields
        gr.HTML("<h2>2 · Choose how</h2>")
        goals = [(_GOALS[name], name) for name in GOALS]
        fields["goal"] = gr.Radio(goals, value="fast", label="What do you have?")
        self.note = gr.HTML(views.method_text("fast", ""))
        with gr.Column(visible=False) as self.base_box:
            fields["base"] = gr.Textbox(self.context.base, label="Base model: a folder, or a hub id")
        self.uploads = {}
        with gr.Row(visible=False) as self.images_box:
            for side in AXES:
                with gr.Column(min_width=240):
                    self.uploads[side] = gr.File(
                        label=f"Images of the {side}", file_count="multiple", file_types=_IMAGES, height=120
                    )
                    fields[f"{side}_images"] = gr.Textbox(label=f"Or a folder of the {side}'s images")
        with gr.Row(visible=False) as self.words_box:
            for side, example in zip(AXES, ("a red cat with white dots", "blue grid drawing"), strict=True):
                label = f"The {side} in words"
                fields[f"{side}_description"] = gr.Textbox(label=label, placeholder=example, min_width=240)
        label = "If one LoRA is much stronger than the other"
        fields["balance"] = gr.Radio(list(BALANCES), value="Automatic", label=label)
        with gr.Accordion("More: other methods, blocks, text encoder", open=False):
            savable = [name for name, row in MERGERS.items() if row.kind != "runtime" and not row.learned]
            fields["merger"] = gr.Dropdown([("by the goal above", ""), *savable], value="", label="Method")
            fields["options"] = gr.Textbox(label="Settings of the method", placeholder="density=0.3, seed=1")
            fields["network"] = gr.Textbox(label="Trained merger, in place of a method: a path or a hub id")
            label = "Block weights, a line for each block: one number, or one for each LoRA"
            example = "up_blocks.1=0.8\nmid_block=1,0.5"
            fields["blocks"] = gr.Textbox(label=label, placeholder=example, lines=3)
            fields["text_encoder"] = gr.Textbox(label="Weight of the text encoders", placeholder="1, or 1,0.5")

    def _add_preview(self) -> None:
        gr.HTML(_LOOK)
        self.prompt = gr.Textbox(label="Prompt", placeholder="the trigger words of both")
        with gr.Row():
            self.columns = gr.Textbox("1,0.5; 1,1; 0.5,1", label="Weights to compare", min_width=200)
            self.seeds = gr.Textbox("0", label="Seeds", min_width=120)
            self.steps = gr.Slider(1, 60, 12, step=1, label="Steps", min_width=160)
        closed = [name for name, row in MERGERS.items() if not row.needs and row.kind != "runtime"]
        self.methods = gr.Dropdown(closed, value=["direct"], multiselect=True, label="Compare your choice with")
        with gr.Row():
            self.draw = gr.Button("Draw preview", variant="primary")
            self.stop_drawing = gr.Button("Cancel preview", interactive=False)
        self.preview_status, self.sheet = gr.HTML(), gr.HTML()

    def _add_save(self) -> None:
        fields = self.context.fields
        gr.HTML("<h2>4 · Save</h2>")
        with gr.Row():
            fields["name"] = gr.Textbox("merged", label="Name", min_width=160)
            fields["tool"] = gr.Radio(list(TOOLS), value="ComfyUI", label="For", min_width=260)
        with gr.Row():
            fields["size"] = gr.Radio(list(SIZES), value="full", label="Size", min_width=260, scale=3)
            fields["dtype"] = gr.Dropdown(["fp16", "bf16", "fp32"], value="fp16", label="Precision", min_width=120)
        with gr.Row():
            self.save = gr.Button("Merge and save", variant="primary")
            self.stop_saving = gr.Button("Cancel merge", interactive=False)
            self.sizes = gr.Button("Compare sizes")
        self.status, self.table, self.result = gr.HTML(), gr.HTML(), gr.HTML()
        self.download = gr.DownloadButton("Download the file", visible=False)
        self.command = gr.Textbox(
            label="The equal command line", interactive=False, lines=2, max_lines=8, elem_id="command", buttons=["copy"]
        )

    def wire(self) -> None:
        """Connect the components."""
        fields, context = self.context.fields, self.context
        shown = [self.note, self.base_box, self.images_box, self.words_box]
        for event in (fields["goal"].change, fields["merger"].change):
            event(_describe, [fields["goal"], fields["merger"]], shown, show_progress="hidden")
        for side, upload in self.uploads.items():
            outputs = [upload, fields[f"{side}_images"], self.status]
            upload.upload(self._keep_images, [upload], outputs, show_progress="hidden")
        changes = [component.change for component in context.inputs]
        gr.on(changes, self._command, context.inputs, self.command, show_progress="hidden", trigger_mode="always_last")
        extra = [self.prompt, self.seeds, self.steps, self.methods, self.columns]
        saving = [self.save, self.stop_saving, self.status]
        for button, function, more, outputs in (
            (self.draw, self._preview, extra, [self.draw, self.stop_drawing, self.preview_status, self.sheet]),
            (self.save, self._merge, [], [*saving, self.result, self.download, self.command]),
            (self.sizes, self._compare_sizes, [], [*saving, self.table]),
        ):
            button.click(function, [*context.inputs, *more], outputs, show_progress="hidden")
        for stop in (self.stop_drawing, self.stop_saving):
            stop.click(context.worker.cancel, queue=False)

    def _keep_images(self, uploads: list[str]) -> list[Any]:
        try:
            return [None, self.context.access.image_folder(uploads), ""]
        except MISTAKES as error:
            return [None, "", error_message(error)]

    def _command(self, *values: Any) -> str:
        try:
            return actions.describe_job(*self.context.choices(values), self.context.results_folder)
        except MISTAKES as error:
            return f"# {error}" if values[0] else ""

    def _preview(self, *values: Any) -> Updates:
        prompt, seeds, steps, methods, columns = values[len(self.context.inputs) :]

        def work() -> str:
            files, choices = self.context.choices(values[: len(self.context.inputs)])
            sheet = actions.preview(
                files,
                choices,
                self.context.access.work / "previews",
                prompt=prompt.strip(),
                seeds=read_seeds(seeds),
                methods=methods,
                columns=parse_columns(columns),
                sampling=Sampling(int(steps), _GUIDANCE),
            )
            return views.sheet_image(sheet, f"Each LoRA alone, and methods by weights, for the prompt {prompt}")

        yield from self.context.work(work, lambda sheet: [sheet], 1)

    def _merge(self, *values: Any) -> Updates:
        def show(saved: actions.Saved) -> list[Any]:
            return [views.saved_card(saved), gr.update(value=saved.result.file, visible=True), saved.result.command]

        def work() -> actions.Saved:
            return actions.merge_and_verify(*self.context.choices(values), self.context.results_folder)

        yield from self.context.work(work, show, 3)

    def _compare_sizes(self, *values: Any) -> Updates:
        def work() -> str:
            rows = actions.compare_sizes(*self.context.choices(values), self.context.results_folder)
            return views.size_table(rows)

        yield from self.context.work(work, lambda table: [table], 1)


def _describe(goal: str, merger: str) -> list[Any]:
    """Return what a method does, and the updates of the boxes that it needs."""
    visible = (goal != "fast" or bool(merger), goal == "images", goal == "words")
    return [views.method_text(goal, merger), *(gr.update(visible=each) for each in visible)]
