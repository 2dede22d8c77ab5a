from .comparison import LoRAComparison as LoRAComparison
from .comparison import compare_files as compare_files
from .comparison import compare_loras as compare_loras
from .kinds import layer_kind as layer_kind
from .report import Report as Report
from .report import inspect as inspect
