from .rubric import Rubric as Rubric
from .rubric import load_rubric as load_rubric
