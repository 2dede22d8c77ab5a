"""Back ends: sources of answers.

capabilities  Capabilities of a server: tried once, before any question, and recorded with the answers
checkpoints   Multimodal checkpoints: safetensors only, without their own code, with a known revision
completions   Completions: from the body of an OpenAI-compatible server's response to a reply
encoding      Image encoding for servers: PNG in a data URI, encoded once for all threads
loading       Loading of back ends by name
mocks         Mock back ends, which use no image
openai        OpenAI-compatible servers, local or hosted: vLLM, Ollama, llama.cpp and others
redaction     Redaction: removal of a key from texts that a server sends back
retries       Retries: the waiting time before a busy server is asked again
transformers  Multimodal models in this process, through transformers: p(yes) from one forward pass
transport     HTTP transport: a time limit and a size limit for a whole exchange
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
