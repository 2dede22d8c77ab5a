"""Space: the studio as a hosted page; run from here it listens on 127.0.0.1 alone."""

import os
from pathlib import Path

from lorarar.studio import StudioSettings, run_studio

if __name__ == "__main__":
    # SPACE_HOST is the name under which the Space is served.
    run_studio(StudioSettings(Path("studio"), max_gb=2.0, browser=False, host=os.environ.get("SPACE_HOST", "")))
