"""ComfyUI nodes of lorarar: inspect, merge, apply and save LoRAs.

Copy or clone this folder into ComfyUI/custom_nodes, or install it with the manager; `pip install lorarar` in ComfyUI's
Python. The nodes need no model: they merge on the CPU.
"""

from .nodes import NODES

NODE_CLASS_MAPPINGS = {f"Lorarar{name}": node for name, node in NODES.items()}
NODE_DISPLAY_NAME_MAPPINGS = {f"Lorarar{name}": node.TITLE for name, node in NODES.items()}
__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
