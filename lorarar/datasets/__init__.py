"""Data sets: concepts with their images, splits, prompts and manifests.

concept_files   Concept files: the YAML that lists concepts and splits, read and checked in one place
concepts        Concepts: contents and styles with their images, captions and prompts
contact_sheets  Contact sheets: images in a grid, with labels above the columns and beside the rows
data_check      Data check: what is missing, unreadable, duplicated or shared between splits
image_folder    Image folder: the concepts of a folder of images, as the content of a concept file
images          Images: one lister, one safe decoder and one writer
layout          Layout of a folder of images: a pattern such as "{method}/{content}+{style}/{seed}.png"
manifest        Manifest: the list of judged images, built or read, checked, and locked with hashes
prompts         Prompt sets: templates of prompts in four types
records         Records of data sets: generated images, and concepts with their reference images
references      References: concepts with their reference images, read from a concept file
splits          Splits: which concepts train a network, validate it and test it
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
