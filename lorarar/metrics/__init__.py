"""Metrics beside the judge: fidelity, controllability, diversity and base preservation, from an encoder's features."""
