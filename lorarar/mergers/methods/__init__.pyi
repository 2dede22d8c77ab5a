from .layers import add_deltas as add_deltas
from .step import Step as Step
