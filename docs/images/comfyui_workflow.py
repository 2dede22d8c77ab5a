"""Picture of the example workflow of the ComfyUI nodes, drawn from its file: python docs/images/comfyui_workflow.py."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / "integrations" / "comfyui" / "example_workflows" / "merge_two_loras.json"
TITLES = {"Inspect": "Inspect LoRA", "Merge": "Merge LoRAs", "Apply": "Apply merged LoRA", "Save": "Save merged LoRA"}
COLOURS = {"LORA_MODEL": "#d07c2e", "MODEL": "#7c6fd0", "CLIP": "#c9a800", "VAE": "#c84b4b", "STRING": "#5f9e6e",
           "CONDITIONING": "#c97f50", "LATENT": "#c25fa8", "IMAGE": "#4f8fc9", "LORA_STACK": "#888"}  # fmt: skip
ROW, HEAD, FIRST = 20, 28, 46


def port(node: dict[str, Any], number: int, side: str) -> tuple[float, float]:
    """Return the place of an input or output."""
    x, y = node["pos"]
    return (x if side == "inputs" else x + node["size"][0]), y + FIRST + ROW * number


def draw(node: dict[str, Any]) -> list[str]:
    """Return the shapes of a node."""
    (x, y), (width, height) = node["pos"], node["size"]
    ours = node["type"].startswith("Lorarar")
    name = TITLES[node["type"].removeprefix("Lorarar")] + " (lorarar)" if ours else node.get("title", node["type"])
    shapes = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="#fff" stroke="#888"/>',
        f'<rect x="{x}" y="{y}" width="{width}" height="{HEAD}" rx="8" fill="{"#f4e0c8" if ours else "#e6e6e6"}"/>',
        f'<text x="{x + 12}" y="{y + 19}" font-weight="bold">{escape(name)}</text>',
    ]
    for side, anchor, shift in (("inputs", "start", 12), ("outputs", "end", -12)):
        for number, entry in enumerate(node[side]):
            cx, cy = port(node, number, side)
            shapes.append(f'<circle cx="{cx}" cy="{cy}" r="5" fill="{COLOURS[entry["type"]]}"/>')
            shapes.append(f'<text x="{cx + shift}" y="{cy + 4}" text-anchor="{anchor}">{escape(entry["name"])}</text>')
    rows = max(len(node["inputs"]), len(node["outputs"]))
    values = [str(value) for value in node["widgets_values"] if str(value)]
    for number, value in enumerate(values):
        line = y + FIRST + ROW * (rows + number) + 8
        if line < y + height - 4:
            shapes.append(
                f'<text x="{x + width / 2}" y="{line}" text-anchor="middle" fill="#666">{escape(value)}</text>'
            )
    return shapes


def main() -> None:
    """Draw the workflow."""
    workflow = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    nodes = {node["id"]: node for node in workflow["nodes"]}
    lines = []
    for _, source, out, target, place, kind in workflow["links"]:
        (x, y), (u, v) = port(nodes[source], out, "outputs"), port(nodes[target], place, "inputs")
        bend = max(abs(u - x) / 2, 40)
        path = f"M{x} {y} C{x + bend} {y} {u - bend} {v} {u} {v}"
        lines.append(f'<path d="{path}" fill="none" stroke="{COLOURS[kind]}" stroke-width="2.5"/>')
    shapes = [shape for node in nodes.values() for shape in draw(node)]
    width = max(node["pos"][0] + node["size"][0] for node in nodes.values()) + 40
    height = max(node["pos"][1] + node["size"][1] for node in nodes.values()) + 40
    size = f'viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'
    background = f'<rect width="{width}" height="{height}" fill="#fafafa"/>'
    text = "\n".join([head, background, *lines, *shapes, "</svg>", ""])
    Path(__file__).with_suffix(".svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
