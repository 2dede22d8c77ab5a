"""ComfyUI nodes of lorarar: inspect, merge, apply, save and verify LoRAs, compose them while sampling, judge images.

Copy or clone this folder into ComfyUI/custom_nodes, or install it with the manager; `pip install lorarar` in ComfyUI's
Python. The nodes that merge need no model: they work on the CPU.

nodes     Nodes of LoRAs: inspect, merge, apply and save
sampling  Node of methods that act while sampling, by ComfyUI's hooks
checks    Nodes that check: a merged file against its inputs, images by a judge
shared    Shared parts of the nodes: inputs, files, texts of settings, progress, and a LoRA in memory
"""

from . import checks, nodes, sampling

NODES = {**nodes.NODES, **sampling.NODES, **checks.NODES}
NODE_CLASS_MAPPINGS = {f"Lorarar{name}": node for name, node in NODES.items()}
NODE_DISPLAY_NAME_MAPPINGS = {f"Lorarar{name}": node.TITLE for name, node in NODES.items()}
__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
