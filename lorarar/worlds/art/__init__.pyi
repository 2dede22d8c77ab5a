from .atlas import make_atlas as make_atlas
from .catalogue import Drawing as Drawing
