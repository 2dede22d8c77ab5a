"""Networks that predict the coefficients of a merge from the LoRAs themselves."""

from lorarar.hypernetwork.paper import PaperConfig, PaperHypernetwork

__all__ = ["PaperConfig", "PaperHypernetwork"]
