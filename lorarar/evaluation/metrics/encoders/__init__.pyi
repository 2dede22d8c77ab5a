from .loading import load_encoder as load_encoder
from .protocols import MapEncoder as MapEncoder
from .resizing import RESIZES as RESIZES
from .resizing import Resize as Resize
