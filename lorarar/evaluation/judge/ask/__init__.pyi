from .run_folder import Setup as Setup
from .run_folder import read_setup as read_setup
from .runner import run_questions as run_questions
