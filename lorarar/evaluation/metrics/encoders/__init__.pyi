from .loading import load_encoder as load_encoder
from .protocols import MapEncoder as MapEncoder
