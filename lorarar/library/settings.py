"""Settings of the library, readable without torch."""

DEFAULT_INDEX = "library.sqlite"
FINGERPRINTS = ("direction", "sketch", "spectrum")  # of the weights alone
BASE_FINGERPRINTS = ("behaviour", "look")  # of what a base model does with the LoRA
DEFAULT_FINGERPRINT = "direction"
EXPORT_ENDINGS = (".html", ".csv", ".json")
