"""Filters: functions that redraw a picture with a silhouette, one for each family of styles.

A filter takes a drawing's colours (128, 128, 3) and alpha (128, 128), 0 to 1, and its own colours; it returns a picture
(128, 128, 3) with a ground. Nothing in it is random.

canvas    Operations on planes and colours that the filters are made of
paints    Paints and lights, such as watercolour, oil and thermal
pens      Pens, such as pencil, chalk and neon
prints    Prints, such as comic, halftone and linocut
textures  Textures, such as pixels, stitches and glass
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
