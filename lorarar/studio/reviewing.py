"""Reviewing: the history of results, with one click back, and the blind test of two of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from lorarar.datasets import AXES
from lorarar.diffusion import Sampling
from lorarar.studio import blind, views
from lorarar.studio.choosing import ChoosingPart, Updates
from lorarar.studio.context import MAX_FILES, MISTAKES, Context, error_message, read_seeds

_ROWS = 30
_SAMPLING = Sampling(15, 5.0)
_TO_FIRST_TAB = "() => {document.querySelector('[role=tab]').click(); window.scrollTo(0, 0); return []}"
_PAST = "<h2>Results</h2><p class='soft'>Every file, what it was made from, and one click back to its settings.</p>"
_INTRO = (
    "<h2>Which is better? A blind test</h2><p class='soft'>Two results draw the same prompt with the same seeds. "
    "You see pairs in random order, without names, and say what is right. The judge's report reads your votes.</p>"
)


class HistoryPart:
    """The results of this folder.

    Args:
        context: What the parts share.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        gr.HTML(_PAST)
        self.rows = [self._row() for _ in range(_ROWS)]

    def _row(self) -> tuple[Any, Any, Any]:
        with gr.Group(visible=False, elem_classes="slot") as group:
            text = gr.HTML()
            back = gr.Button("Back to this", size="sm")
        return group, text, back

    def wire(self, events: Sequence[Any], choosing: ChoosingPart, shown: Sequence[Any]) -> None:
        """Connect the rows.

        Args:
            events: Events after which the results are listed anew.
            choosing: The part with the files.
            shown: The components that its `show` updates.
        """
        for event in events:
            event(self._show, None, [part for row in self.rows for part in row], show_progress="hidden")
        outputs = [*shown, *self.context.fields.values()]
        for number, (_, _, button) in enumerate(self.rows):

            def back(number: int = number) -> Updates:
                result = self.context.results()[number]
                weights = [*result.choices.weights, *[1.0] * MAX_FILES][:MAX_FILES]
                for updates in choosing.show([], weights, lambda: result.inputs, sort=False):
                    yield [*updates, *self.context.values(result.choices)]

            button.click(back, None, outputs, show_progress="hidden", js=_TO_FIRST_TAB)

    def _show(self) -> list[Any]:
        results, updates = self.context.results()[:_ROWS], []
        for result in results:
            updates += [gr.update(visible=True), views.result_row(result), gr.update(value=f"Back to {result.name}")]
        return updates + [gr.update(visible=False), "", gr.skip()] * (_ROWS - len(results))


class BlindPart:
    """The blind test.

    Args:
        context: What the parts share.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        gr.HTML(_INTRO)
        with gr.Row():
            self.chosen = [gr.Dropdown([], label=label) for label in ("One result", "Another result")]
        with gr.Row():
            self.names = [gr.Textbox(label=f"Name of the {side}", min_width=160) for side in AXES]
            self.rater = gr.Textbox("me", label="Your name", min_width=120)
        with gr.Row():
            self.prompt = gr.Textbox(label="Prompt of the blind test", min_width=260, scale=3)
            self.seeds = gr.Textbox("0, 1, 2, 3", label="Seeds of the blind test", min_width=140)
        with gr.Row():
            self.start = gr.Button("Draw the pairs", variant="primary")
            self.stop = gr.Button("Cancel drawing", interactive=False)
        self.status, self.pair, self.test = gr.HTML(), gr.HTML(), gr.State("")
        options = [(answer.capitalize(), answer) for answer in blind.ANSWERS]
        self.answers = [gr.Radio(options, label=views.question(side), visible=False) for side in AXES]
        self.vote = gr.Button("Vote", variant="primary", visible=False)
        self.tally = gr.HTML()

    def wire(self, events: Sequence[Any]) -> None:
        """Connect the components.

        Args:
            events: Events after which the results are listed anew.
        """
        for event in events:
            event(self._list, None, self.chosen, show_progress="hidden")
        shown = [self.test, self.pair, *self.answers, self.vote, self.tally]
        inputs = [*self.chosen, *self.names, self.prompt, self.seeds, self.rater, self.context.fields["base"]]
        self.start.click(self._draw, inputs, [self.start, self.stop, self.status, *shown], show_progress="hidden")
        self.stop.click(self.context.worker.cancel, queue=False)
        voted = [self.test, self.rater, *self.answers]
        self.vote.click(self._vote, voted, [self.status, *shown], show_progress="hidden")

    def _list(self) -> list[Any]:
        names = [(result.name, result.file) for result in self.context.results()]
        return [gr.update(choices=names, value=names[i][1] if i < len(names) else None) for i in range(2)]

    def _draw(self, *values: str) -> Updates:
        first, second, content, style, prompt, seeds, rater, base = values

        def work() -> list[Any]:
            known = {result.file: result.name for result in self.context.results()}
            test = blind.draw_blind(
                self.context.access.work / "blind",
                {known[file]: file for file in (first, second) if file in known},
                ((content or "").strip(), (style or "").strip()),
                self.context.resolve(base),
                prompt,
                read_seeds(seeds),
                _SAMPLING,
            )
            return _next_pair(test, rater)

        yield from self.context.work(work, list, 4 + len(AXES))

    def _vote(self, test: str, rater: str, *answers: str | None) -> list[Any]:
        try:
            pair = blind.open_pairs(Path(test), rater)[0]
            given = {axis: answer for axis, answer in zip(AXES, answers, strict=True) if answer}
            blind.add_vote(Path(test), pair, given, rater)
            return ["", *_next_pair(Path(test), rater)]
        except MISTAKES as error:
            return [error_message(error), *[gr.skip()] * (4 + len(AXES))]


def _next_pair(test: Path, rater: str) -> list[Any]:
    """Return the updates that show the next pair, or the votes at the end."""
    pairs = blind.open_pairs(test, rater)
    pair = pairs[0] if pairs else None
    tally = "" if pair else views.blind_result(blind.count_votes(test), test)
    answers = [gr.update(value=None, visible=bool(pair))] * len(AXES)
    return [str(test), views.blind_pair(pair, len(pairs)), *answers, gr.update(visible=bool(pair)), tally]
