"""Report parts that the judge and the metrics share: pages, tables, names of flags.

flag_names       Flags of images: what each means
interval_plots   Plots of estimates with intervals: positions for the macro that draws them as SVG inside a page
metrics_section  Metrics section: the part of a judge's report with the results of `lorarar metrics` on the same images
pages            HTML pages from Jinja templates: all text is escaped, and an unknown name in a template is an error
tables           Tables of a report, and their numbers as text
templates/       Base page, macros, style sheet and the metrics section
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
