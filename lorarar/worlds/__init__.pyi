from .table import WORLDS as WORLDS
from .table import world_named as world_named
