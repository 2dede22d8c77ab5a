"""What a LoRA file holds, and where two LoRAs collide."""

from lorarar.inspection.comparison import Comparison, Overlap, compare, compare_files
from lorarar.inspection.report import Report, inspect

__all__ = ["Comparison", "Overlap", "Report", "compare", "compare_files", "inspect"]
