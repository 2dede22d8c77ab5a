"""Studio: a web page on this machine to look at LoRAs, merge, preview, save and compare them blind.

access     Access: which files the page may read, and how typed paths, hub ids and dropped images become inputs
actions    Actions: what the buttons do, without the page: inspect, preview, compare sizes, merge and verify
blind      Blind test: images of two results in random order; the votes are labels that the judge's report reads
choices    Choices: what the page holds, as data; from choices to one merge of files, and the equal command line
choosing   Choosing: the first step of the page, LoRAs with cards and a heat map
context    Context: what the parts of the page share
guard      Guard: refuses requests of other origins and hosts, and uploads over the limit
history    History: the results of a folder, each with its choices and its provenance
merging    Merging: the second to fourth step of the page: how to merge, a preview, and the file
page       Page: assembly of the parts
reviewing  Reviewing: the history of results, and the blind test
server     Server: the page on 127.0.0.1
templates  Templates of the views
views      Views: HTML of cards, heat maps, results; all text is escaped
work       Work: one piece of work at a time, with progress and cancel
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
