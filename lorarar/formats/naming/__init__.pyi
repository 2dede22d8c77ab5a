from .keys import Key as Key
