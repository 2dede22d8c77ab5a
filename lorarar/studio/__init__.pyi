from .choices import Choices as Choices
from .choices import merge_command as merge_command
from .server import StudioSettings as StudioSettings
from .server import run_studio as run_studio
