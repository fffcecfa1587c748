"""Pages opened in a browser, with whatever goes wrong on them."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STANDS = "html[data-figures]"


def opened(browser: "Browser", page_file: Path, size: tuple[int, int], **context: object) -> "Page":
    """Open a page and fail on any console error, script error or request that leaves the file."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, **context)
    page.faults = []  # type: ignore[attr-defined]  # a page carries what went wrong on it
    page.on(
        "console", lambda message: page.faults.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda fault: page.faults.append(str(fault)))
    page.on("request", lambda request: page.faults.append(request.url) if request.url.startswith("http") else None)
    page.goto(page_file.as_uri())
    page.wait_for_selector(STANDS, state="attached")
    assert page.faults == []
    assert page.evaluate("document.documentElement.dataset.figures") == "ready"
    return page
