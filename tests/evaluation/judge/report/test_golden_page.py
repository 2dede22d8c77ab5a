"""The page of a fixed run, compared with a stored one.

After an intended change of the page, `python -m tests.evaluation.judge.report.test_golden_page` writes it again; check
the difference before committing it. Thumbnails are left out of the comparison, since their bytes depend on the WebP
encoder.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path

from lorarar.evaluation.judge.records import Verdict
from tests.evaluation.judge.report.test_page import EVIL, Page, Run
from tests.evaluation.judge.synthetic import make_items

GOLDEN = Path(__file__).parent / "golden" / "report.html"


def page_of_a_fixed_run(folder: Path) -> str:
    """Two methods with a hostile prompt, undecided questions, a refused image and labels by people."""
    items = [replace(item, prompt=EVIL) for item in make_items(["direct", "merged"], 2, 2, 1)]
    run = Run(folder, items)
    (folder / "images" / items[0].path).write_text("not an image", encoding="utf-8")
    for question in run.questions[::5]:
        run.verdicts[question.id] = Verdict(question.id, "abstain", reason="the reply is empty")
    labels = {"ann": {(item.id, "content"): int(run.truth[item.id, "content"]) for item in items}}
    return re.sub(r'src="data:image/webp;base64,[^"]+"', 'src="data:image/webp;base64,"', run.write(labels=labels))


def test_the_page_is_the_stored_one(tmp_path: Path) -> None:
    page = page_of_a_fixed_run(tmp_path)
    Page(page).check()
    assert page == GOLDEN.read_text(encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        GOLDEN.write_text(page_of_a_fixed_run(Path(temporary)), encoding="utf-8")
