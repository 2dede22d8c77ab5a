"""Trust in a judge: calibration, gate, consistency, agreement with people.

agreement          Agreement of people, this judge and other judges about the same images
altered_copies     Altered copies: a reference that is flipped, cropped or saved again
calibration        Calibration: questions with known answers, made from the references
consistency        Consistency: whether the judge gives the same answer when the question is asked in another way
degenerate_images  Degenerate images, which no judge may accept: blanks, noise, text cards and collages
gate               Gate: whether a judge's answers to the calibration are good enough for its scores to be used
labels             Labels by people, kept in the folder of the run that they are about
rating_sheet       Rating sheet: a shuffled sheet without names of methods, on which people rate images
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
