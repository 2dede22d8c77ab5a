from .merger_recipe import MergerRecipe as MergerRecipe
from .recipe import PairMethod as PairMethod
from .text_guided import TEXT_GUIDED as TEXT_GUIDED
from .ziplora import ZIPLORA as ZIPLORA
