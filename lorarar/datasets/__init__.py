"""Concepts with their images, splits, prompts and manifests.

concepts        Concepts (contents and styles) with their images and captions, splits, and pairs
contact_sheets  Contact sheets: images in a grid, with labels above the columns and beside the rows
images          Images of unknown origin, decoded with care
layout          The layout of a folder of images
manifest        The manifest
prompts         Sets of prompts in four types
records         Records that data sets consist of
references      Concepts with their reference images, from a YAML file
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
