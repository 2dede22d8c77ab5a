from .diffusion import generate as generate
from .evaluation.judge import judge as judge
from .formats import load as load
from .formats import save as save
from .formats.inspection import inspect as inspect
from .mergers import MERGERS as MERGERS
from .storage import load_plugin as load_plugin
from .workflows import merge as merge

__version__: str
