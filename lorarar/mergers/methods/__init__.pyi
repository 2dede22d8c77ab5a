from .layers import add_deltas as add_deltas
