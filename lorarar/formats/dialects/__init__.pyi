from .table import DIALECTS as DIALECTS
from .table import Dialect as Dialect
from .table import Encoded as Encoded
