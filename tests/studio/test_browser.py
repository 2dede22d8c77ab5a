"""The page in a real browser, as an artist uses it.

It needs the package playwright, a Chromium at LORARAR_CHROMIUM or /usr/bin/chromium, and for the accessibility check
axe.min.js of the npm package axe-core at LORARAR_AXE. LORARAR_SCREENSHOTS names a folder for screenshots.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from lorarar.formats import load, save
from lorarar.storage import EMBEDDED
from tests.studio.running import answers, free_port, studio

CHROMIUM = Path(os.environ.get("LORARAR_CHROMIUM", "/usr/bin/chromium"))
AXE = os.environ.get("LORARAR_AXE", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("gradio") is None, reason="the extra studio is not installed"),
    pytest.mark.skipif(find_spec("playwright") is None, reason="playwright is not installed"),
    pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no Chromium at {CHROMIUM}"),
]
CONTENT, STYLE = (EMBEDDED / "loras" / f"test_{name}_03.safetensors" for name in ("content", "style"))
DROP = """(zone, files) => {
    const transfer = new DataTransfer();
    for (const [name, data] of files) {
        transfer.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], name));
    }
    zone.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
}"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def port(work: Path) -> Iterator[int]:
    with studio(work, str(EMBEDDED / "loras")) as port:
        yield port


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from importlib import import_module

    with import_module("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page that notes what the browser asks for and what goes wrong in it."""

    def __init__(self, browser: Any, port: int, width: int = 1280, **options: Any) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(240_000)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(self.origin)

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def drop(self, *files: Path) -> None:
        encoded = [(file.name, base64.b64encode(file.read_bytes()).decode()) for file in files]
        self.page.locator(".upload-container").first.evaluate(DROP, encoded)

    def shot(self, name: str) -> None:
        if folder := os.environ.get("LORARAR_SCREENSHOTS"):
            self.page.wait_for_timeout(1000)
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=True)

    def elsewhere(self) -> list[str]:
        """Addresses of other origins that the browser asked for."""
        own = (self.origin, "data:", f"blob:{self.origin}")
        return [address for address in self.requests if not address.startswith(own)]


@pytest.fixture
def visit(browser: Any, port: int) -> Iterator[Visit]:
    visit = Visit(browser, port)
    yield visit
    visit.context.close()
    assert visit.elsewhere() == []
    assert visit.errors == []


def test_drop_inspect_preview_merge_save_reload_and_back(visit: Visit, work: Path) -> None:
    page = visit.page
    visit.drop(STYLE, CONTENT)
    page.locator(".heat li").first.wait_for()
    assert page.locator(".slot .badge:visible").all_inner_texts() == ["content", "style"]  # put in order
    assert page.get_by_text("szn style", exact=True).is_visible()
    assert page.get_by_label("Prompt", exact=True).input_value() == "a sks tree in szn style"
    command = page.locator("#command textarea")
    assert "test_content_03.safetensors" in command.input_value()
    visit.shot("dropped")

    page.get_by_label("Steps").first.fill("2")
    visit.button("Draw preview").click()
    page.locator(".work progress").wait_for()
    page.locator(".sheet img").wait_for()
    assert page.locator(".sheet img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    visit.shot("preview")

    page.get_by_label("Weight of LoRA 2").first.fill("0.5")
    page.get_by_label("Name", exact=True).fill("tree <b>")
    visit.button("Merge and save").click()
    page.get_by_text("Saved and verified").wait_for()
    saved = work / "results" / "tree -b-.safetensors"
    assert json.loads(load(saved).metadata["lorarar.weights"]) == [1.0, 0.5]
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the file").or_(visit.button("Download the file")).first.click()
    assert download.value.path().read_bytes() == saved.read_bytes()
    visit.shot("saved")

    page.reload()
    page.get_by_role("tab", name="History").click()
    visit.button("Back to tree -b-").wait_for()
    visit.shot("history")
    visit.button("Back to tree -b-").click()
    page.locator(".heat li").first.wait_for()
    page.wait_for_function("document.querySelector('#command textarea').value.includes('--weights 1,0.5')")
    assert page.get_by_label("Name", exact=True).input_value() == "tree <b>"


def test_cancel_ends_a_preview_and_another_begins(visit: Visit) -> None:
    page = visit.page
    visit.button("Try it with a demo pair").click()
    page.locator(".heat li").first.wait_for()
    page.get_by_label("Seeds", exact=True).fill("0 1 2 3 4 5 6 7")
    page.get_by_label("Steps").first.fill("60")
    visit.button("Draw preview").click()
    page.get_by_text("preview: ").wait_for()
    visit.button("Cancel preview").click()
    page.get_by_text("cancelled; results that were saved before are kept").wait_for()
    assert not page.locator(".sheet").is_visible()
    page.get_by_label("Seeds", exact=True).fill("0")
    page.get_by_label("Steps").first.fill("1")
    visit.button("Draw preview").click()
    page.locator(".sheet img").wait_for()


def test_the_keyboard_alone_is_enough(visit: Visit, work: Path) -> None:
    page = visit.page
    before = set((work / "results").glob("*.safetensors"))

    def tab_to(name: str) -> None:
        for _ in range(120):
            page.keyboard.press("Tab")
            if (
                page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''").strip()
                == name
            ):
                return
        raise AssertionError(f"{name} cannot be reached with the keyboard")

    visit.button("Try it with a demo pair").wait_for()
    tab_to("Try it with a demo pair")
    page.keyboard.press("Enter")
    page.locator(".heat li").first.wait_for()
    tab_to("Merge and save")
    page.keyboard.press("Enter")
    page.get_by_text("Saved and verified").wait_for()
    assert len(set((work / "results").glob("*.safetensors")) - before) == 1


def test_a_blind_test_ends_with_votes_for_the_judge(visit: Visit, work: Path) -> None:
    page = visit.page
    visit.button("Try it with a demo pair").click()
    page.locator(".heat li").first.wait_for()
    for name in ("blind a", "blind b"):
        page.get_by_label("Name", exact=True).fill(name)
        visit.button("Merge and save").click()
        page.get_by_text(f"Saved and verified: {name}").wait_for()
    page.get_by_role("tab", name="Blind test").click()
    page.get_by_label("Seeds of the blind test").fill("0, 1")
    page.wait_for_function("document.body.innerText.includes('One result')")
    visit.button("Draw the pairs").click()
    for left in ("2 pairs", "1 pair"):
        page.get_by_text(f"{left} left").wait_for()
        visit.shot(f"blind {left}")
        page.get_by_label("Left", exact=True).first.check()
        page.get_by_label("Both", exact=True).last.check()
        visit.button("Vote").click()
    page.get_by_text("import-labels").wait_for()
    visit.shot("votes")
    (labels,) = (work / "blind").glob("*/labels.csv")
    assert len(labels.read_text(encoding="utf-8").splitlines()) == 1 + 2 * 2 * 2


def test_files_that_do_not_go_together_are_explained(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    markup = "<img src=x onerror=alert(1)> ${alert(2)} {{value}}"
    lora = load(STYLE)
    hostile = tmp_path / "hostile.safetensors"
    save(lora, hostile, metadata={**lora.metadata, "modelspec.trigger_phrase": markup, "phrase": markup})
    (tmp_path / "broken.safetensors").write_bytes(b"no LoRA")
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    visit.drop(hostile)
    page.get_by_text(markup).first.wait_for()
    visit.drop(tmp_path / "broken.safetensors")
    page.locator(".banner.bad").wait_for()
    page.get_by_label("Or a path, or a hub id (owner/name)").fill("/etc/passwd")
    visit.button("Add").click()
    page.get_by_text("expected a path inside the folders of this studio").wait_for()
    assert page.locator(".slot .badge:visible").count() == 1
    assert dialogs == []


def test_a_phone_needs_no_sideways_scrolling(browser: Any, port: int) -> None:
    visit = Visit(browser, port, width=375)
    visit.button("Try it with a demo pair").click()
    visit.page.locator(".heat li").first.wait_for()
    visit.page.get_by_label("Steps").first.fill("1")
    visit.button("Draw preview").click()
    visit.page.locator(".sheet img").wait_for()
    visit.button("Merge and save").click()
    visit.page.get_by_text("Saved and verified").wait_for()
    visit.shot("phone")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 375
    visit.context.close()


@pytest.mark.skipif(not Path(AXE).is_file(), reason="LORARAR_AXE does not name axe.min.js of axe-core")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, port: int, scheme: str) -> None:
    visit = Visit(browser, port, bypass_csp=True, color_scheme=scheme)
    page = visit.page
    visit.button("Try it with a demo pair").click()
    page.locator(".heat li").first.wait_for()
    visit.button("Merge and save").click()
    page.get_by_text("Saved and verified").wait_for()
    visit.button("Compare sizes").click()
    page.locator("caption").first.wait_for()
    visit.shot(f"merge {scheme}")
    serious = []
    page.evaluate(Path(AXE).read_text(encoding="utf-8"))
    for tab in ("Merge", "History", "Blind test"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(1500)
        violations = page.evaluate("axe.run()")["violations"]
        serious += [(tab, v["id"], v["nodes"][0]["html"]) for v in violations if v["impact"] in ("serious", "critical")]
    visit.context.close()
    assert serious == []


def test_a_page_of_another_origin_can_neither_read_nor_write(browser: Any, port: int, tmp_path: Path) -> None:
    """A page of another port of this machine asks the studio for its page and for a merge, with and without CORS."""
    (tmp_path / "index.html").write_text("another page", encoding="utf-8")
    visit = Visit(browser, port)
    page = visit.context.new_page()
    statuses: list[int] = []
    ask = """async ([address, options]) => {
        try { return await (await fetch(address, options)).text() } catch (error) { return "" }
    }"""
    other = free_port()
    words = [sys.executable, "-m", "http.server", str(other), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        while not answers(other):
            time.sleep(0.1)
        page.goto(f"http://127.0.0.1:{other}/")
        page.on("response", lambda answer: statuses.append(answer.status))
        for mode in ("cors", "no-cors"):
            assert page.evaluate(ask, [f"{visit.origin}/config", {"mode": mode}]) == ""
            posted = {"method": "POST", "body": "{}", "mode": mode}
            assert page.evaluate(ask, [f"{visit.origin}/gradio_api/queue/join", posted]) == ""
        server.terminate()
    visit.context.close()
    assert set(statuses) == {403}
