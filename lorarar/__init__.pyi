from . import mergers as mergers
from .formats import load as load
from .formats import save as save
from .mergers import merge as merge
