"""The page of `rlrec ope` in a real browser: the answer in sight, nothing beside the page, nothing hard to read."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tasks.estimates import estimate_from_parquet
from tests.browser.pages import opened

pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser
NARROW, TABLET, DESK = (390, 844), (768, 900), (1280, 900)
LONG = "a_policy_with_a_rather_long_name_2026_11_24_run_0012_seed_7_of_twelve"
READABLE = 4.5  # contrast of text, WCAG 2.2 AA
CONTRAST = """() => {
  const light = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = [...document.querySelectorAll("main *")].filter((one) =>
    !one.closest("svg, script") && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  return Math.min(...texts.map((one) => {
    const [low, high] = [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  }));
}"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything: a policy without support, a long name, predictions, parts of the log, a plan."""
    folder = tmp_path_factory.mktemp("sheet")
    rng, count = np.random.default_rng(0), 2_000
    serving, click = np.array([0.6, 0.39, 0.01]), np.array([0.1, 0.2, 0.3])
    event, item = np.arange(count), rng.choice(3, count, p=serving)
    pl.DataFrame(
        {
            "event_id": event,
            "user_id": rng.integers(0, 400, count),
            "reward": (rng.random(count) < click[item]).astype(float),
            "propensity": serving[item],
            "device": rng.choice(["phone", "desk", "a television in the living room"], count),
        }
    ).write_parquet(folder / "logs.parquet")
    wanted = {"better": np.array([0.1, 0.85, 0.05]), LONG: np.array([0.01, 0.0, 0.99])}
    pl.concat(
        pl.DataFrame({"event_id": event, "target_probability": target[item], "q_hat": click[item]}).with_columns(
            q_target=pl.lit(float(target @ click)), target_policy=pl.lit(name)
        )
        for name, target in wanted.items()
    ).write_parquet(folder / "targets.parquet")
    estimate_from_parquet(
        folder / "logs.parquet", folder / "targets.parquet", folder / "out",
        reward_min=0, reward_max=1, by="device", half_width=0.01,
    )  # fmt: skip
    return folder / "out" / "report.html"


@pytest.mark.parametrize(("size", "scheme"), [(NARROW, "dark"), (NARROW, "light"), (TABLET, "light"), (DESK, "dark")])
def test_the_answer_is_in_sight_and_all_can_be_read(
    browser, page_file: Path, size: tuple[int, int], scheme: str
) -> None:
    page = opened(browser, page_file, size, color_scheme=scheme, offline=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    title = page.locator("h1")
    assert title.is_visible()
    assert title.bounding_box()["y"] + title.bounding_box()["height"] < size[1] / 2
    assert page.locator("#answers .verdict").first.is_visible()
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.evaluate(CONTRAST) >= READABLE
    drawn = "[...document.querySelectorAll('.plot')].map((plot) => plot.querySelectorAll('svg .trace path').length)"
    assert min(page.evaluate(drawn)) > 0
    page.close()


def test_landmarks_headings_and_descriptions(browser, page_file: Path) -> None:
    page = opened(browser, page_file, DESK)
    assert page.locator("main").count() == page.locator("h1").count() == page.locator("nav[aria-label]").count() == 1
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map((one) => Number(one.tagName[1]))")
    assert all(below - above <= 1 for above, below in pairwise(levels))
    assert page.evaluate("[...document.querySelectorAll('table')].every((one) => one.caption && one.tHead)")
    assert page.evaluate("[...document.querySelectorAll('th')].every((one) => one.scope)")
    assert page.evaluate("[...document.images].every((one) => one.alt.length > 20)")
    assert "bias bound" in page.locator("#weight_curve img").get_attribute("alt")
    assert page.evaluate("[...document.querySelectorAll('select')].every((one) => one.labels.length === 1)")
    links = "[...document.querySelectorAll('nav a')].every((one) => document.querySelector(one.getAttribute('href')))"
    assert page.evaluate(links)
    page.close()


def test_every_curve_and_every_policys_parts_can_be_chosen(browser, page_file: Path) -> None:
    page = opened(browser, page_file, DESK)
    assert page.locator("#weight_curve option").count() == 2 * 4 * 5  # policies, bases, families
    for figure in ("weight_curve", "segments"):
        drawn = f"JSON.stringify(document.querySelector('#{figure} .plot').data.map((one) => one.x))"
        before = page.evaluate(drawn)
        page.locator(f"#{figure} select").select_option(index=page.locator(f"#{figure} option").count() - 1)
        page.wait_for_function(f"(old) => {drawn} !== old", arg=before)
    assert page.faults == []
    page.close()
