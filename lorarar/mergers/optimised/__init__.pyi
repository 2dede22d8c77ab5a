from .pair_method import PairMethod as PairMethod
from .recipe import MergerRecipe as MergerRecipe
from .text_guided import TEXT_GUIDED as TEXT_GUIDED
from .ziplora import ZIPLORA as ZIPLORA
