from .data import TRAINING_SETS as TRAINING_SETS
from .data import ImagePairs as ImagePairs
from .data import render_pairs as render_pairs
from .model import build_model as build_model
from .recipes import TinyJudgeConfig as TinyJudgeConfig
from .scores import yes_margins as yes_margins
from .stages import save_judge as save_judge
from .stages import train_tiny as train_tiny
