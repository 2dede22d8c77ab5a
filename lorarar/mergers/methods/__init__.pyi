from .layers import add as add
