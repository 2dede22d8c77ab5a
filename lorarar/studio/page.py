"""Page: assembly of the parts."""

from __future__ import annotations

import gradio as gr

from lorarar.studio.access import Access
from lorarar.studio.choosing import ChoosingPart
from lorarar.studio.context import Context
from lorarar.studio.merging import MergingPart
from lorarar.studio.reviewing import BlindPart, HistoryPart

_HEADER = (
    "<header class='top'><h1>lorarar <span>studio</span></h1><p>Merge LoRAs into one file that works in your tool. "
    "Everything happens on this machine.</p></header>"
)


def build_page(access: Access, base: str) -> gr.Blocks:
    """Return the page.

    Args:
        access: Folders that it may read, and the folder that it writes.
        base: Base model that is filled in; "" for none.
    """
    for name in ("results", "previews", "blind"):
        (access.work / name).mkdir(exist_ok=True)
    with gr.Blocks(title="lorarar studio", analytics_enabled=False) as blocks:
        gr.HTML(_HEADER)
        context = Context(access, base)
        with gr.Tabs():
            with gr.Tab("Merge"):
                choosing, merging = ChoosingPart(context), MergingPart(context)
            with gr.Tab("History") as past:
                history = HistoryPart(context)
            with gr.Tab("Blind test") as comparison:
                test = BlindPart(context)
        shown = choosing.wire([merging.prompt, test.prompt, *test.names])
        merging.wire()
        history.wire([blocks.load, past.select], choosing, shown)
        test.wire([blocks.load, comparison.select])
    return blocks
