"""A world of rendered subjects and styles, 32 x 32 pixels, with known truth.

attributes   What a toy subject and a toy style are made of, and the words for it
autoencoder  The toy base's AutoencoderKL, trained here on renders: 32 x 32 pixels to 8 x 8 latents
base         Training of a toy base from scratch on renders, whatever its architecture
captions     Captions of the toy world
classifier   The attribute reader: a small network that reads all eight attributes off an image
crossed      Every content of a split in every style of it, rendered
export       Write the toy world's concepts as a user would keep theirs
judge/       The embedded judge: a tiny vision-language model, its data and its training
pipelines    Toy bases before training
prompted     What an image for a prompt should show, when the prompt changes something of its concepts
renderer     Draw a subject in a style: 32 x 32 pixels, deterministic from a seed
scoring      Generate images of toy pairs and score them with the attribute reader, whose truth is known
stages       The stages that make the embedded default's reader and base
vocabulary   The toy base's tokenizer: a CLIP tokenizer in which every word of the world is one token
world        Who lives in the toy world
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
