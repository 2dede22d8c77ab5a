from .comparison import compare_files as compare_files
from .kinds import layer_kind as layer_kind
from .report import inspect as inspect
