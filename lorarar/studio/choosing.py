"""Choosing: the first step of the page, LoRAs by drop, path, hub id or library, with cards and a heat map."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

import gradio as gr

from lorarar.datasets import AXES
from lorarar.studio import actions, views
from lorarar.studio.access import demo_files
from lorarar.studio.context import MAX_FILES, MISTAKES, Context, error_message

Updates = Generator[list[Any], None, None]
_INTRO = "<h2>1 · Choose LoRAs</h2><p class='soft'>The subject first, then the style. They stay on this machine.</p>"
_COMPARING = "<p class='soft' role='status'>Comparing …</p>"


class ChoosingPart:
    """The components of the first step, and what they do.

    Args:
        context: What the parts share.
    """

    def __init__(self, context: Context) -> None:
        self.context, library = context, context.access.entries()
        gr.HTML(_INTRO)
        self.drop = gr.File(
            label="Drop two or more LoRA files here", file_count="multiple", file_types=[".safetensors"], height=130
        )
        with gr.Row(elem_classes="ends"):
            self.typed = gr.Textbox(
                label="Or a path, or a hub id (owner/name)", placeholder="owner/name", scale=4, max_lines=1
            )
            self.add = gr.Button("Add", scale=1, min_width=90)
            self.demo = gr.Button("Try it with a demo pair", visible=bool(demo_files()), scale=2)
        self.pick = gr.Dropdown(library, label="Or pick from your library", visible=bool(library), value=None)
        self.status = gr.HTML()
        self.slots = [self._slot(number) for number in range(MAX_FILES)]
        context.weights = [weight for _, _, weight, _, _ in self.slots]
        self.clear = gr.Button("Remove all", size="sm", visible=False)
        self.overview = gr.HTML()

    def _slot(self, number: int) -> tuple[Any, ...]:
        with gr.Group(visible=False, elem_classes="slot") as group:
            card = gr.HTML()
            with gr.Row(elem_classes="ends"):
                weight = gr.Slider(0, 2, 1.0, step=0.05, label=f"Weight of LoRA {number + 1}", scale=4, min_width=200)
                up = gr.Button(f"Move {number + 1} up", size="sm", min_width=90, visible=number > 0)
                remove = gr.Button(f"Remove {number + 1}", size="sm", min_width=90)
        return group, card, weight, up, remove

    def wire(self, prompts: Sequence[Any]) -> list[Any]:
        """Connect the buttons; return the components that `show` updates.

        Args:
            prompts: Components of the prompts and of the names of content and style, which new files fill in.
        """
        groups, cards, weights, ups, removes = zip(*self.slots, strict=True)
        shown = [self.context.files, *groups, *cards, *weights, self.clear, self.status, self.overview, *prompts]
        present = [self.context.files, *weights]

        def on(event: Any, added: Callable[..., list[str]], source: Any = None) -> None:
            def add(files: list[str], *values: Any) -> Updates:
                for updates in self.show(files, values[:MAX_FILES], lambda: added(*values[MAX_FILES:])):
                    yield [*updates, None] if source else updates

            extra = [source] if source else []
            event(add, [*present, *extra], [*shown, *extra], show_progress="hidden")

        on(self.drop.upload, list, self.drop)
        on(self.add.click, lambda text: [self.context.access.resolve(text or "")], self.typed)
        on(self.typed.submit, lambda text: [self.context.access.resolve(text or "")], self.typed)
        on(self.pick.input, lambda path: [path] if path else [], self.pick)
        on(self.demo.click, demo_files)

        def rearranged(order: Callable[[int], list[int]]) -> Callable[..., Updates]:
            def change(files: list[str], *weights: float) -> Updates:
                kept = order(len(files))
                moved = [*(weights[i] for i in kept), *[1.0] * MAX_FILES][:MAX_FILES]
                yield from self.show([files[i] for i in kept], moved, list, sort=False)

            return change

        self.clear.click(rearranged(lambda count: []), present, shown, show_progress="hidden")
        for number, (up, remove) in enumerate(zip(ups, removes, strict=True)):
            up.click(rearranged(partial(_moved, number)), present, shown, show_progress="hidden")
            remove.click(rearranged(partial(_without, number)), present, shown, show_progress="hidden")
        return shown

    def show(
        self, files: Sequence[str], weights: Sequence[float], added: Callable[[], Sequence[str]], *, sort: bool = True
    ) -> Updates:
        """Yield the cards as soon as each file is read, then where the files meet.

        Args:
            files: The files that are there.
            weights: Values of all sliders.
            added: Function that returns new files.
            sort: Whether contents are put before styles.
        """
        skip = [gr.skip()] * 5
        known = list(files)
        try:
            files = [*dict.fromkeys([*known, *added()])]
            if len(files) > MAX_FILES:
                raise ValueError(f"expected at most {MAX_FILES} LoRAs, found {len(files)}: remove some first")
            for count in range(len(known), len(files)):
                reading = f"<p class='soft' role='status'>Reading {count + 1} of {len(files)} …</p>"
                yield [*self._cards(files[:count], weights), reading, *skip]
                actions.look(files[count : count + 1])
                known = files[: count + 1]
            yield [*self._cards(files, weights), _COMPARING, *skip]
            found = actions.recommend_for(files, actions.look(files))
            order = found.recommendation.order if sort and found.recommendation else range(len(files))
            if list(order) != sorted(order):
                files = [files[i] for i in order]
                weights = [*(weights[i] for i in order), *weights[len(files) :]]
                found = actions.recommend_for(files, actions.look(files))
            yield [*self._cards(files, weights, found), "", views.overview(found), *_prompts(files, found)]
        except MISTAKES as error:
            yield [*self._cards(known, weights), error_message(error), *skip]

    def _cards(
        self, files: Sequence[str], weights: Sequence[float], found: actions.Overview | None = None
    ) -> list[Any]:
        """Return the updates of the state, the slots and the button that removes all."""
        facts = found.recommendation.files if found and found.recommendation else [None] * len(files)
        cards = [views.file_card(i, report, facts[i]) for i, report in enumerate(actions.look(files))]
        groups = [gr.update(visible=i < len(files)) for i in range(MAX_FILES)]
        blank = [""] * (MAX_FILES - len(files))
        return [list(files), *groups, *cards, *blank, *weights, gr.update(visible=bool(files))]


def _moved(number: int, count: int) -> list[int]:
    """Return the order after an entry has moved one place up."""
    order = list(range(count))
    order[number - 1], order[number] = order[number], order[number - 1]
    return order


def _without(number: int, count: int) -> list[int]:
    """Return the order after an entry is gone."""
    return [i for i in range(count) if i != number]


def _prompts(files: Sequence[str], found: actions.Overview) -> list[Any]:
    """Return the prompts of the preview and the blind test, and the names of content and style."""
    names = [actions.concept_name(file) for file in files[: len(AXES)]]
    return [found.prompt, found.prompt, *(names if len(names) == len(AXES) else ["", ""])]
