"""Report of a judging run.

export      Export of a report's numbers: results.csv with a row for each image, and results.tex with the scores
image_grid  Grid of images: pairs as rows, references and methods as columns, with all answers about each image
page        Report of a judging run: results.json, results.csv, results.tex and one self-contained page
summary     Summary of a run: the judge, its trust, the ranking of the methods and the plot of their scores
tables      Score sections: completeness, scores, comparisons, heat maps and consistency
templates/  Templates, styles and scripts of the report and of the rating sheet
thumbnails  Thumbnails inside the page, limited in size and number
trust       Trust sections: calibration, agreement with people, preferences and limitations
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
