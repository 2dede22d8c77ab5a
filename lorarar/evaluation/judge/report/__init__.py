"""Report of a judging run.

gallery     Gallery: the images on which the judge is least certain, beside their references
page        Report of a judging run: results.json, results.csv and one self-contained page
tables      Score sections: completeness, scores, comparisons, heat maps and consistency
templates/  Templates of the report and of the rating sheet
thumbnails  Thumbnails inside the page, limited in size and number, and the contact sheets of all methods
trust       Trust sections: calibration, agreement with people, preferences and limitations
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
