"""Reading of replies: from raw replies to verdicts and scores of images.

answers        Answers in text: one clear yes or no, letter or digit
doubts         Doubts: reasons why a text that begins with an answer does not vote
parsing        Parsing: from a raw reply to a verdict
probabilities  Probabilities of the first answer token: all spellings of one word against all spellings of the other
reasons        Reasons why questions have no answer, grouped and counted, each with what to do
scores         Scores of images: votes on both axes, with undecided questions counted separately
text           Text of a reply: the answer without thoughts, special tokens and markup around it
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
