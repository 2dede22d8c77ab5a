from .loading import BACKENDS as BACKENDS
from .loading import BackendKind as BackendKind
from .loading import BackendSettings as BackendSettings
from .loading import open_backend as open_backend
from .openai import open_openai as open_openai
from .transformers import last_logits as last_logits
from .transformers import messages as messages
