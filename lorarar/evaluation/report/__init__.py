"""What the pages and tables of the judge and of the metrics share.

html             HTML from text that nobody vouches for: whatever is not markup made here is escaped
metric_names     What is measured: one row a metric
metrics_section  The section of a report with what `lorarar metrics` found on the same images
numbers          Numbers as a reader wants them, and tables of them
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
