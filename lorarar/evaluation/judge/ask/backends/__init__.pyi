from .openai import open_openai as open_openai
from .transformers import last_logits as last_logits
from .transformers import messages as messages
