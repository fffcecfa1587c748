"""The report in a real browser: no script error, every figure drawn, nothing loaded from elsewhere."""

import io
import os
from pathlib import Path

import matplotlib.image
import pytest

from tasks.report.page import render
from tests.browser.pages import opened
from tests.tasks.report.synthetic import write_results

pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser
DESK, PHONE = (1280, 900), (400, 800)
BLANK = 0.05  # spread of the pixels of an empty page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of RLREC_REPORT if that is set (to look at a real one), else of the synthetic results."""
    if given := os.environ.get("RLREC_REPORT"):
        return Path(given).absolute()
    folder = tmp_path_factory.mktemp("report")
    return render(write_results(folder / "results"), folder / "out").path


@pytest.mark.parametrize("size", [DESK, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_drawn_and_nothing_overflows(browser, report: Path, size: tuple[int, int], scheme: str) -> None:
    page = opened(browser, report, size, color_scheme=scheme)
    marks = page.evaluate(
        "[...document.querySelectorAll('.plot')].map(plot => plot.querySelectorAll('svg path').length)"
    )
    assert len(marks) >= 4
    assert min(marks) > 0
    lines = page.evaluate(
        "[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('.trace, .legend').length)"
    )
    assert min(lines) > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    page.close()


def test_figures_follow_the_colour_scheme(browser, report: Path) -> None:
    page = opened(browser, report, DESK, color_scheme="light")
    ink = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    light = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{ink} !== '{light}'")
    assert page.faults == []
    page.close()


def test_the_curve_can_be_chosen_and_tables_sort(browser, report: Path) -> None:
    page = opened(browser, report, DESK)
    select = page.locator("#weight_curve select")
    if select.count():
        before = page.evaluate("document.querySelector('#weight_curve .plot').data[0].y")
        select.select_option(index=1)
        page.wait_for_function(
            "old => JSON.stringify(document.querySelector('#weight_curve .plot').data[0].y) !== JSON.stringify(old)",
            arg=before,
        )
    page.locator("#policies thead button").nth(1).click()
    column = "[...document.querySelectorAll('#policies tbody tr:not(.below)')].map(row => row.cells[1].dataset.value)"
    values = [float(value) for value in page.evaluate(column) if value is not None]
    assert values == sorted(values, reverse=True)
    assert page.locator("#policies thead th").nth(1).get_attribute("aria-sort") == "descending"
    for note in page.locator("#policies tr.below").all():
        assert note.evaluate("row => row.previousElementSibling.querySelector('.verdict') !== null")
    assert page.faults == []
    page.close()


def test_each_figure_page_stands_alone(browser, report: Path) -> None:
    pages = sorted((report.parent / "figures").glob("*.html"))
    assert pages
    for file in pages:
        page = opened(browser, file, DESK)
        assert page.locator(".plot svg").count() > 0
        page.close()


def test_print_shows_the_still_figures(browser, report: Path) -> None:
    page = opened(browser, report, DESK)
    page.emulate_media(media="print")
    assert page.evaluate(
        "[...document.querySelectorAll('.panels')].every(one => getComputedStyle(one).display === 'none')"
    )
    assert page.evaluate(
        "[...document.querySelectorAll('.still')].every(one => one.getBoundingClientRect().height > 100)"
    )
    page.close()


def test_without_scripts_the_still_figures_show(browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    stills = page.locator("img.still")
    assert stills.count() > 0
    assert all(still.is_visible() for still in stills.all())
    context.close()


def test_picture(browser, report: Path) -> None:
    """Writes the README's picture when RLREC_PICTURE names a file: the head of the report on a desktop."""
    target = os.environ.get("RLREC_PICTURE")
    page = opened(browser, report, DESK, color_scheme="light")
    picture = page.screenshot(path=target) if target else page.screenshot()
    assert matplotlib.image.imread(io.BytesIO(picture), format="png")[..., :3].std() > BLANK
    page.close()
