"""Pictures of the example workflows of the ComfyUI nodes, drawn from their files.

python docs/images/comfyui_workflow.py
"""

from __future__ import annotations

import importlib
import json
import sys
from html import escape
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

ROOT = Path(__file__).parents[2]
WORKFLOWS = {"merge_two_loras": "comfyui_workflow", "compose_while_sampling": "comfyui_sampling"}  # file -> picture
WIDGETS = {  # of ComfyUI's own nodes
    "CheckpointLoaderSimple": ["ckpt_name"],
    "CLIPTextEncode": ["text"],
    "EmptyLatentImage": ["width", "height", "batch_size"],
    "KSampler": ["seed", "control after generate", "steps", "cfg", "sampler_name", "scheduler", "denoise"],
    "SaveImage": ["filename_prefix"],
    "VAEDecode": [],
}
COLOURS = {"LORA_MODEL": "#d07c2e", "MODEL": "#7c6fd0", "CLIP": "#c9a800", "VAE": "#c84b4b", "STRING": "#5f9e6e",
           "CONDITIONING": "#c97f50", "LATENT": "#c25fa8", "IMAGE": "#4f8fc9", "LORA_STACK": "#888",
           "HOOKS": "#557a95"}  # fmt: skip
ROW, HEAD, FIRST = 20, 28, 46


def port(node: dict[str, Any], number: int, side: str) -> tuple[float, float]:
    """Return the place of an input or output."""
    x, y = node["pos"]
    return (x if side == "inputs" else x + node["size"][0]), y + FIRST + ROW * number


def sockets(node: dict[str, Any]) -> int:
    """Return the number of rows of inputs and outputs."""
    return max(len(node["inputs"]), len(node["outputs"]))


def height_of(node: dict[str, Any]) -> float:
    """Return the height of a node, with a row for each socket and each value."""
    return FIRST - 6 + ROW * (sockets(node) + len(node["widgets_values"]))


def our_nodes() -> dict[str, Any]:
    """Return our node classes by type, with stand-ins for ComfyUI's modules."""
    hooks, paths = SimpleNamespace(HookKeyframeGroup=object), SimpleNamespace(get_filename_list=lambda kind: [])
    comfy = SimpleNamespace(hooks=hooks, sd=None)
    stand_ins = {"folder_paths": paths, "comfy": comfy, "comfy.hooks": hooks, "comfy.sd": SimpleNamespace()}
    sys.modules.update(cast("dict[str, ModuleType]", stand_ins))
    sys.path.insert(0, str(ROOT / "integrations"))
    return dict(importlib.import_module("comfyui").NODE_CLASS_MAPPINGS)


def widgets(node: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """Return the names of a node's values, which are its inputs without a socket."""
    if node["type"] not in ours:
        return WIDGETS[node["type"]]
    linked = {entry["name"] for entry in node["inputs"]}
    return [name for group in ours[node["type"]].INPUT_TYPES().values() for name in group if name not in linked]


def draw(node: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """Return the shapes of a node."""
    (x, y), width, height = node["pos"], node["size"][0], height_of(node)
    own = ours.get(node["type"])
    name = own.TITLE if own else node.get("title", node["type"])
    shapes = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="#fff" stroke="#888"/>',
        f'<rect x="{x}" y="{y}" width="{width}" height="{HEAD}" rx="8" fill="{"#f4e0c8" if own else "#e6e6e6"}"/>',
        f'<text x="{x + 12}" y="{y + 19}" font-weight="bold">{escape(name)}</text>',
    ]
    for side, anchor, shift in (("inputs", "start", 12), ("outputs", "end", -12)):
        for number, entry in enumerate(node[side]):
            cx, cy = port(node, number, side)
            shapes.append(f'<circle cx="{cx}" cy="{cy}" r="5" fill="{COLOURS[entry["type"]]}"/>')
            shapes.append(f'<text x="{cx + shift}" y="{cy + 4}" text-anchor="{anchor}">{escape(entry["name"])}</text>')
    rows = sockets(node)
    for number, (label, value) in enumerate(zip(widgets(node, ours), node["widgets_values"], strict=True)):
        top = y + FIRST + ROW * (rows + number) - 6
        shapes += [
            f'<rect x="{x + 10}" y="{top}" width="{width - 20}" height="{ROW - 3}" rx="7" fill="#f1f1f1"/>',
            f'<text x="{x + 18}" y="{top + 13}" fill="#666">{escape(label)}</text>',
            f'<text x="{x + width - 18}" y="{top + 13}" text-anchor="end">{escape(str(value))}</text>',
        ]
    return shapes


def picture(workflow: dict[str, Any], ours: dict[str, Any]) -> str:
    """Return the drawing of a workflow as SVG."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    lines = []
    for _, source, out, target, place, kind in workflow["links"]:
        (x, y), (u, v) = port(nodes[source], out, "outputs"), port(nodes[target], place, "inputs")
        bend = max(abs(u - x) / 2, 40)
        path = f"M{x} {y} C{x + bend} {y} {u - bend} {v} {u} {v}"
        lines.append(f'<path d="{path}" fill="none" stroke="{COLOURS[kind]}" stroke-width="2.5"/>')
    shapes = [shape for node in nodes.values() for shape in draw(node, ours)]
    width = max(node["pos"][0] + node["size"][0] for node in nodes.values()) + 40
    height = max(node["pos"][1] + height_of(node) for node in nodes.values()) + 40
    size = f'viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'
    background = f'<rect width="{width}" height="{height}" fill="#fafafa"/>'
    return "\n".join([head, background, *lines, *shapes, "</svg>", ""])


def main() -> None:
    """Draw the workflows."""
    ours = our_nodes()
    for file, name in WORKFLOWS.items():
        path = ROOT / "integrations" / "comfyui" / "example_workflows" / f"{file}.json"
        workflow = json.loads(path.read_text(encoding="utf-8"))
        (Path(__file__).parent / f"{name}.svg").write_text(picture(workflow, ours), encoding="utf-8")


if __name__ == "__main__":
    main()
