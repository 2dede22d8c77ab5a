from .comparison import compare_files as compare_files
from .report import inspect as inspect
