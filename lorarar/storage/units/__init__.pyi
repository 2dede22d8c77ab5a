from .engines import run_units as run_units
from .work import WORKERS as WORKERS
from .work import Engine as Engine
from .work import UnitResult as UnitResult
from .work import UnitWork as UnitWork
from .work import Workers as Workers
