from .parts import Parts as Parts
from .table import TRAINED as TRAINED
from .table import TrainedAlgorithm as TrainedAlgorithm
