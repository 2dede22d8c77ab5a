from .diagnosis import Diagnosis as Diagnosis
from .diagnosis import Problem as Problem
from .diagnosis import diagnose as diagnose
from .packages import EXTRAS as EXTRAS
from .packages import PURPOSES as PURPOSES
from .packages import Extra as Extra
from .packages import Library as Library
from .parts import Part as Part
