"""Art world: drawings by several artists in the styles of art filters, 64 x 64 pixels, with a known truth.

atlas        Atlas: all drawings in one image with transparency
captions     Captions for pre-training, for LoRAs and for pairs
catalogue    Catalogue of the drawings and of the packages that they come from
classifier   Classifier by prototypes: class, drawing and style of an image
definition   The art world as the stages see it
export       Export of the concepts as images in folders and a manifest
filters/     Filters: one function for each family of styles
packages     Packages of the drawings, checked by hash
recipes      Recipes of the drawings, readable without numpy
renderer     Renderer: a drawing in a style, 64 x 64 pixels, deterministic from a seed
styles       Styles: families of filters with their variants
world        World: sets of drawings and styles, disjoint, with their ids and images
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
