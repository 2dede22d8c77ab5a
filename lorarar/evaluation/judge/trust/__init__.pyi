from .consistency import nuisance_consistency as nuisance_consistency
from .consistency import swapped_consistency as swapped_consistency
from .labels import import_labels as import_labels
from .rating import write_sheet as write_sheet
