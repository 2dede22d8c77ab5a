from .bases import SDXL_UNET as SDXL_UNET
from .bases import SIZED_BASES as SIZED_BASES
from .bases import SizedBase as SizedBase
from .counting import PassCount as PassCount
from .counting import count_pass as count_pass
from .works import size_report as size_report
from .works import size_table as size_table
