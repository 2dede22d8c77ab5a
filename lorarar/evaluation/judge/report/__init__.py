"""The report of a judging run.

gallery   The images on which the judge is least sure of itself, beside their references
page      The report of a judging run
pictures  Thumbnails inside the page, bounded in size and number, and the contact sheets made of them
scoring   The sections of a report that are tables
trust     The sections of a report that say how far to trust it: calibration, people, limitations
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
