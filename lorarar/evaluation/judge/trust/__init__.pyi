from .consistency import perturbation_consistency as perturbation_consistency
from .consistency import swapped_consistency as swapped_consistency
from .labels import import_labels as import_labels
from .rating_sheet import write_sheet as write_sheet
