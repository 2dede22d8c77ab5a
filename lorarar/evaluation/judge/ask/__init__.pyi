from .descriptions import DESCRIBE as DESCRIBE
from .descriptions import DESCRIBED_IMAGES as DESCRIBED_IMAGES
from .descriptions import describe_images as describe_images
from .reply_log import Shard as Shard
from .reply_log import read_verdicts as read_verdicts
from .run_folder import Setup as Setup
from .run_folder import read_setup as read_setup
from .runner import run_questions as run_questions
