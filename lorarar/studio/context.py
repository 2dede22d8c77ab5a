"""Context: what the parts of the page share: access, the chosen files, the fields of the choices, and the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from lorarar.studio import actions, views
from lorarar.studio.access import Access
from lorarar.studio.choices import Choices
from lorarar.studio.history import Result, read_results
from lorarar.studio.work import Cancelled, Done, Worker

MAX_FILES = 6
BALANCES: Mapping[str, float | None] = {
    "Automatic": None,
    "Leave as they are": 0.0,
    "Half way": 0.5,
    "Same strength": 1.0,
}
# What a user can mend; anything else is a mistake of the program, and its traceback goes to the terminal.
MISTAKES = (ValueError, OSError, KeyError, ImportError, RuntimeError, MemoryError)
_PATHS = ("network", "content_images", "style_images", "base")


class Context:
    """What the parts of the page share.

    Args:
        access: Folders that the page may read, and the folder that it writes.
        base: Base model that is filled in; "" for none.

    Attributes:
        files: State of the page: the chosen files, in order.
        weights: Sliders of the files' weights.
        fields: Components by field of `Choices`.
    """

    def __init__(self, access: Access, base: str) -> None:
        self.access, self.base, self.worker = access, base, Worker()
        self.results_folder = access.work / "results"
        self.files: Any = gr.State([])
        self.weights: list[Any] = []
        self.fields: dict[str, Any] = {}

    @property
    def inputs(self) -> list[Any]:
        """The components whose values `choices` takes."""
        return [self.files, *self.weights, *self.fields.values()]

    def choices(self, values: Sequence[Any]) -> tuple[list[str], Choices]:
        """Return the files and the choices.

        Args:
            values: Values of `inputs`.

        Raises:
            ValueError: A path may not be read.
        """
        files, weights = values[0], values[1 : 1 + MAX_FILES]
        given = zip(self.fields, values[1 + MAX_FILES :], strict=True)
        named = {name: value for name, value in given if value is not None}  # an empty box is None
        for name in _PATHS:
            if named.get(name):
                named[name] = self.resolve(named[name])
        named["balance"] = BALANCES[named["balance"]]
        choices = Choices(weights=tuple(float(weight) for weight in weights[: len(files)]), **named)
        return files, actions.with_needs(choices, actions.look(files))

    def values(self, choices: Choices) -> list[Any]:
        """Return the values of `fields` for choices: the opposite of `choices`."""
        values = {name: getattr(choices, name) for name in self.fields}
        balance = next(name for name, value in BALANCES.items() if value == choices.balance)
        return list({**values, "balance": balance}.values())

    def resolve(self, text: str) -> str:
        """Return a path or a hub id that may be read; the base that is filled in always may."""
        return text if text == self.base else self.access.resolve(text)

    def results(self) -> list[Result]:
        """Return the results, the newest first."""
        return read_results(self.results_folder)

    def work(self, work: Callable[[], Any], show: Callable[[Any], list[Any]], outputs: int) -> Iterator[list[Any]]:
        """Yield updates for the two buttons, the status and more outputs while a piece of work runs, then its result.

        Args:
            work: The piece of work.
            show: Function of its result -> updates of the outputs.
            outputs: Their number.
        """
        idle, kept = [gr.update(interactive=True), gr.update(interactive=False)], [gr.skip()] * outputs
        try:
            for state in self.worker.run(work):
                if not isinstance(state, Done):
                    yield [*idle[::-1], views.progress_bar(state), *kept]
                elif state.error is None:
                    yield [*idle, "", *show(state.value)]
                else:
                    raise state.error
        except Cancelled as error:
            yield [*idle, views.message(str(error), "warn"), *kept]
        except MISTAKES as error:
            yield [*idle, error_message(error), *kept]


def error_message(error: Exception) -> str:
    """Return what is shown of an error."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return views.message(text or type(error).__name__)


def read_seeds(text: str) -> list[int]:
    """Return the seeds of a text such as "0, 1".

    Raises:
        ValueError: An entry is not a whole number.
    """
    try:
        return [int(part) for part in text.replace(",", " ").split()] or [0]
    except ValueError:
        raise ValueError(f"expected seeds as whole numbers such as 0, 1, found {text!r}: correct them") from None
