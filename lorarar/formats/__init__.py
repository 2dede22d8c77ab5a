"""LoRA files: every dialect is read exactly, five dialects are written.

algorithms/     Algorithms that compute a layer's delta from the tensors in a file: LoRA, LoHa, LoKr, DoRA, ...
base_weights    Base weights: a base model's weights by layer path, for algorithms whose deltas depend on them
conversion      Conversion of one LoRA file into another: dialect, precision, rank
dialects/       Dialects: the meaning of the keys in a file, one module each
embeddings      Learned tokens in LoRA files: their keys, and the file in which they are written
identification  Identification: the base model of a file and the naming scheme of its layers
inspection/     Inspection of LoRA files: report on one, comparison of two
loading         Loading: from a file to a LoRA with all its deltas
metadata        Metadata: file headers that describe a LoRA and its origin in the fields that other tools read
naming/         Layer names in the dialects, translated to diffusers names
patterns        Patterns: the regular expressions of peft's configuration, matched in linear time
precision       Precision: factors that keep their digits in the dtype of a file
reading         Reading: from the keys of a file to its stored layers
scaling         Scaling: alpha, rank and scale in the tensors, header and configuration of a file
stored          Stored layers: one layer as its file stores it, and its deltas under diffusers names
tensor_files    safetensors files: reading with a hash and a check of every weight, deterministic writing
tools           Tools: which layers of a file ComfyUI and sd-scripts use, and at what strength
verification    Verification: deltas of a file that was read again, compared with those that it should hold
writing         Writing: from a LoRA to a file in one of five dialects
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
