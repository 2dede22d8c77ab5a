from .canvas import along_both as along_both
from .canvas import clip as clip
from .canvas import flat as flat
from .canvas import mix as mix
