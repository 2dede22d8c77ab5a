from .config import QualityConfig as QualityConfig
from .run import plan_quality as plan_quality
from .run import run_quality as run_quality
