"""Settings of the library, readable without torch."""

DEFAULT_INDEX = "library.sqlite"
FINGERPRINTS = ("direction", "sketch", "spectrum")  # of the weights alone
BASE_FINGERPRINTS = ("behaviour", "look")  # these need a base model
DEFAULT_FINGERPRINT = "direction"
EXPORT_ENDINGS = (".html", ".csv", ".json")
