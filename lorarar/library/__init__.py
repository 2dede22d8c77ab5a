"""Library of LoRA files: an index to search, cluster, find duplicates in and attribute merges to.

adding        Adding: folders of LoRA files are read in parallel and written to the index, a batch at a time
approximate   Approximate search: a graph of near neighbours beside large indexes, by usearch
attribution   Attribution: a LoRA as a weighted sum of others, by least squares on exact inner products
clusters      Clusters: hierarchical clustering by average linkage, and the choice of their number
database      Database: the SQLite file of entries, files, fingerprints and thumbnails, and its queries
drawing       Drawing: what a base model does with each LoRA, for thumbnails, images and behaviour
duplicates    Duplicates: pairs of entries with the evidence that one is a version of the other
entries       Entries: what the index holds of a LoRA, and filters of entries
fingerprints  Fingerprints: short vectors that describe a LoRA, whatever its dialect and factorisation
index         Index: the class of a library, one method for each command
kind_models/  Models that predict kinds, one for each family
kinds         Kinds: whether a LoRA is a content or a style, with a probability
page          Page: a self-contained HTML page with a map, clusters, neighbours and duplicates
plane         Plane: positions of entries in two dimensions, similar ones close together
products      Inner products: exact products and shares of energy of whole LoRAs from their factors
search        Search: similarities, nearest fingerprints in chunks of bounded memory, relevance with diversity
settings      Settings of the library, readable without torch
templates/    Template, style sheet and script of the page
thumbnails    Thumbnails: small images of LoRAs, from a preview beside the file or drawn by a base
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
