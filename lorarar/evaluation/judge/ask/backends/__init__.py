"""Back ends: whatever answers the questions.

capabilities  What a server can do: tried once, before anything is asked, and recorded with the answers
checkpoints   Multimodal checkpoints as transformers loads them
completions   From the body of an OpenAI-compatible server's response to a reply
encoding      Images as servers take them
mocks         Back ends that look at no image
openai        Any OpenAI-compatible server, local or hosted: vLLM, Ollama, llama.cpp and others
opening       Back ends
retrying      How long to wait before asking a busy server again
transformers  Multimodal models in this process, through transformers: p(yes) from one forward pass
transport     HTTP with a deadline and a size for the whole exchange
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
