from .layer import layer_deltas as layer_deltas
from .scaling import Scaling as Scaling
