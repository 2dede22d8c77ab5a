"""Server: the page on 127.0.0.1, without telemetry, and with a public link only where the user asks for one."""

from __future__ import annotations

import os
import secrets
import socket
import webbrowser
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lorarar.storage import MissingPackage, package_path, quiet_libraries, say
from lorarar.studio.access import DEMO_BASE, Access
from lorarar.studio.guard import Guard

if TYPE_CHECKING:
    import uvicorn

HOST = "127.0.0.1"
# Gradio asks for its version and counts starts where these are not set; they are read when it is imported.
_QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "DO_NOT_TRACK": "1"}
# Gradio names its drop zone other than the text in it, which confuses those who speak to the page or hear it.
_HEAD = """<script>new MutationObserver(() => document.querySelectorAll(".upload-container[aria-label]").forEach(
  zone => zone.removeAttribute("aria-label"))).observe(document, {childList: true, subtree: true})</script>"""
_SPACES = "https://huggingface.co"  # which shows a Space in a frame
_PORTS = 100  # that are tried from the given one on


@dataclass(frozen=True)
class StudioSettings:
    """How the studio runs.

    Attributes:
        work: Folder of uploads, results, images and votes; made where it is missing.
        folders: Folders whose files may be named by path on the page.
        index: Index of a library to pick from; None without one.
        base: Base model that is filled in; None is the embedded one, for a demo.
        port: First port to try.
        max_gb: Largest upload, in gigabytes (10^9 bytes).
        share: Whether a public link is made through Gradio's server, behind a password.
        browser: Whether the page is opened in a browser.
        host: Name under which a proxy serves the page, such as that of a Space, which may show it in a frame; the
            server then listens on all addresses. "" listens on 127.0.0.1 alone.
    """

    work: Path
    folders: tuple[Path, ...] = ()
    index: Path | None = None
    base: str | None = None
    port: int = 7860
    max_gb: float = 8.0
    share: bool = False
    browser: bool = True
    host: str = ""


def run_studio(settings: StudioSettings) -> None:
    """Serve the page until the process is interrupted.

    Args:
        settings: How the studio runs.

    Raises:
        MissingPackage: Gradio is not installed.
        FileNotFoundError: A folder or the index does not exist.
    """
    port = _free_port(settings.port)
    password = secrets.token_urlsafe(12) if settings.share else ""
    server = open_server(settings, port, password)
    address = f"http://{HOST}:{port}"
    if settings.share:
        from gradio.networking import setup_tunnel

        public = setup_tunnel(HOST, port, secrets.token_urlsafe(32), None, None)
        server.config.app.hosts.add(public.partition("://")[2])
        say(f"public link: {public}, name studio, password {password}; who has both can read the studio's folders")
    say(f"studio: {address}, results in {settings.work}; Ctrl-C ends it")
    if settings.browser:
        webbrowser.open(address)
    server.run()


def open_server(settings: StudioSettings, port: int, password: str = "") -> uvicorn.Server:
    """Return the server of the page, which does not run yet.

    Args:
        settings: How the studio runs.
        port: Its port.
        password: Password of the page; "" for none.

    Raises:
        MissingPackage: Gradio is not installed.
        FileNotFoundError: A folder or the index does not exist.
    """
    if find_spec("gradio") is None:
        raise MissingPackage("gradio", "studio", "the web page")
    quiet_libraries()
    work = settings.work.resolve()
    for path in (*settings.folders, *([settings.index] if settings.index else [])):
        if not path.exists():
            raise FileNotFoundError(f"expected a folder or an index at {path}, found nothing there: check the path")
    work.mkdir(parents=True, exist_ok=True)
    os.environ.update(_QUIET)
    os.environ["GRADIO_TEMP_DIR"] = str(work / "uploads")
    import fastapi
    import gradio as gr
    import uvicorn

    from lorarar.studio.page import build_page

    access = Access(tuple(path.resolve() for path in settings.folders), work, settings.index)
    page = build_page(access, settings.base or (str(DEMO_BASE) if DEMO_BASE.is_dir() else ""))
    limit = int(settings.max_gb * 1e9)
    app = gr.mount_gradio_app(
        fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path="/",
        server_name=HOST,
        server_port=port,
        footer_links=[],
        run_history=False,
        auth=("studio", password) if password else None,
        allowed_paths=[str(work / name) for name in ("previews", "results")],
        show_error=False,
        max_file_size=limit,
        ssr_mode=False,
        mcp_server=False,
        theme=_theme(),
        css_paths=package_path("studio", "studio.css"),
        head=_HEAD,
    )
    hosts = {f"{HOST}:{port}", f"localhost:{port}", *filter(None, [settings.host])}
    guard = Guard(app, hosts, limit, frames=_SPACES if settings.host else "'none'")
    listen = "0.0.0.0" if settings.host else HOST
    return uvicorn.Server(
        uvicorn.Config(guard, host=listen, port=port, log_level="warning", lifespan="on", timeout_graceful_shutdown=2)
    )


def _theme() -> object:
    """Return a theme whose fonts are those of the system: no font comes from elsewhere."""
    import gradio as gr

    fonts = ["system-ui", "sans-serif"]
    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "monospace"], radius_size="lg"
    )
    # The theme's own greys and its primary button are too pale for their texts.
    return theme.set(
        body_background_fill="#f8fafc",
        body_text_color_subdued="#475569",
        block_label_text_color="#334155",
        block_title_text_color="#334155",
        input_placeholder_color="#64748b",
        input_placeholder_color_dark="#94a3b8",
        body_text_color_subdued_dark="#cbd5e1",
        block_label_text_color_dark="#e2e8f0",
        block_title_text_color_dark="#e2e8f0",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#115e59",
        button_primary_background_fill_dark="#0f766e",
        button_secondary_background_fill="#e2e8f0",
    )


def _free_port(first: int) -> int:
    """Return the first free port.

    Raises:
        OSError: None of the ports that are tried is free.
    """
    for port in range(first, first + _PORTS):
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)):
                return port
    raise OSError(f"expected a free port from {first} on, found none among {_PORTS}: give another `port`")
