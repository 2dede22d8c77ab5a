from .results import MethodScores as MethodScores
