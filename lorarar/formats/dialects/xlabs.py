"""XLabs dialect for FLUX: `double_blocks.0.processor.qkv_lora1.down.weight`.

1 denotes the image stream, 2 the text stream. Single blocks have one stream, without a number.
"""

from __future__ import annotations

import re

from lorarar.formats.naming.keys import Key

_KEY = re.compile(
    r"(?:diffusion_model\.)?(?P<stack>double|single)_blocks\.(?P<number>\d+)\.processor\."
    r"(?P<name>qkv|proj)_lora(?P<stream>[12]?)\.(?P<part>down|up)\.weight"
)
_NAMES = {
    ("qkv", "1"): "img_attn.qkv",
    ("proj", "1"): "img_attn.proj",
    ("qkv", "2"): "txt_attn.qkv",
    ("proj", "2"): "txt_attn.proj",
    ("qkv", ""): "qkv",
    ("proj", ""): "linear2",
}


def parse(key: str) -> Key | None:
    """Parse a key; return None for a key of another dialect."""
    fields = _KEY.fullmatch(key)
    if fields is None or (fields["stack"] == "double") != bool(fields["stream"]):
        return None
    path = f"{fields['stack']}_blocks.{fields['number']}.{_NAMES[fields['name'], fields['stream']]}"
    return Key("XLabs", "", path, fields["part"])
