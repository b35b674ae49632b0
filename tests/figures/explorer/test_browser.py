"""The page in a real browser, on a wide and a narrow window: what it shows equals the theory, and nothing breaks."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from theory import exact_update, parse_law
from theory.adam.noise_equivalent import long_run_update

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs chromium: apt-get install chromium chromium-driver"
    ),
]

_HANDLE = """
    const host = document.querySelector(`#control-${arguments[0]} [data-root-id]`).firstElementChild;
    return host.shadowRoot.querySelector(".noUi-handle");
"""
_SELECT = """
    const host = document.querySelector(arguments[0]).querySelector("[data-root-id]").firstElementChild;
    const select = host.shadowRoot.querySelector("select");
    if (![...select.options].some(option => option.value === arguments[1])) throw new Error(arguments[1]);
    select.value = arguments[1]; // Bokeh's options have their texts as values
    select.dispatchEvent(new Event("change"));
"""


@contextmanager
def browser(url, width):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_experimental_option(
        "mobileEmulation" if width < 500 else "prefs",
        {"deviceMetrics": {"width": width, "height": 800, "pixelRatio": 1.0}} if width < 500 else {},
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        driver.set_window_size(width, 800)
        driver.get(url)
        settle(driver)
        yield driver
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    finally:
        driver.quit()


def settle(driver):
    """Wait until the simulation of the last change is there."""
    WebDriverWait(driver, 20).until(lambda each: "±" in shown(each, "measured"))


def shown(driver, name):
    return driver.find_element(By.ID, name).text


def press(driver, control, *keys):
    driver.execute_script(_HANDLE, control).send_keys(*keys)
    settle(driver)


def choose(driver, place, value):
    driver.execute_script(_SELECT, place, value)


@pytest.fixture(scope="module")
def url(tmp_path_factory, page):
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def wide(url):
    with browser(url, 1280) as driver:
        yield driver


def stated(driver, name="error"):
    """An error that the page states, as a share of the maximum."""
    return float(shown(driver, name)) / 100


def check_numbers(driver, power, ratio, law, betas):
    beta1, beta2 = betas
    exact = exact_update(power, 1.0, ratio, parse_law(law), beta1=beta1, beta2=beta2, epsilon=0.0)
    everywhere = exact_update(
        np.linspace(0.2, 3, 15), 1.0, ratio, parse_law(law), beta1=beta1, beta2=beta2, epsilon=0.0
    )
    for name in ("drift", "rms"):
        most = getattr(everywhere, name).max()
        assert float(shown(driver, name)) == pytest.approx(
            float(getattr(exact, name)), abs=1.5 * stated(driver) * most
        )
    if ratio >= 1:
        run = long_run_update(power, 1.0, ratio, parse_law(law), beta1=beta1, beta2=beta2)
        assert float(shown(driver, "progress")) == pytest.approx(
            run.progress, rel=2 * stated(driver, "error_progress")
        )
    mean, error = map(float, shown(driver, "measured").split(" ± "))
    assert abs(mean - float(exact.drift)) < 5 * error + 0.01 * abs(float(exact.drift))


def test_numbers_equal_the_theory_as_sliders_move(wide):
    check_numbers(wide, 1.2, 10, "uniform", (0.9, 0.95))
    before = shown(wide, "drift")
    press(wide, "power", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert shown(wide, "drift") != before
    check_numbers(wide, 1.23, 10, "uniform", (0.9, 0.95))
    press(wide, "ratio", Keys.ARROW_LEFT)
    check_numbers(wide, 1.23, 5, "uniform", (0.9, 0.95))


def test_numbers_equal_the_theory_for_every_law(wide):
    choose(wide, "#control-betas", "0, 0.95")
    for law in ("gaussian", "laplace", "binary", "generalized-normal:0.5", "student-t:4"):
        choose(wide, "#control-law", law)
        settle(wide)
        check_numbers(wide, 1.23, 5, law, (0.0, 0.95))


def test_fresh_noise_changes_the_simulation_only(wide):
    drift, measured = shown(wide, "drift"), shown(wide, "measured")
    wide.execute_script(
        "document.querySelector('#control-again [data-root-id]').firstElementChild"
        ".shadowRoot.querySelector('button').click()"
    )
    WebDriverWait(wide, 20).until(lambda each: shown(each, "seed") == "2")
    assert shown(wide, "drift") == drift
    assert shown(wide, "measured") != measured


def test_an_epsilon_leaves_progress_out(wide):
    choose(wide, "#control-level", "1e-8 (Figure 7)")
    settle(wide)
    assert shown(wide, "progress") == shown(wide, "best_progress") == "not computed"
    choose(wide, "#control-law", "uniform")
    choose(wide, "#control-betas", "0.9, 0.95")
    press(wide, "ratio", Keys.ARROW_RIGHT)
    assert float(shown(wide, "best_drift")) == pytest.approx(1.2158, abs=0.006)  # Figure 7, at σ/μ = 10
    choose(wide, "#control-level", "0")


@pytest.mark.parametrize("law", ["uniform", "gaussian", "laplace", "generalized-normal:0.5", "student-t:4"])
def test_laws_of_the_page_are_the_theorys(wide, law):
    chances = np.linspace(0.02, 0.98, 25)
    ours = parse_law(law).quantile(chances)
    # the distribution function by Simpson's rule over the page's density, and the page's samples
    density, samples = wide.execute_script(
        """
        const law = NoiseModel.LAWS[arguments[0]], next = NoiseModel.generator(3);
        return [arguments[1].map(law.density), Array.from({length: 40000}, () => law.sample(next))];
        """,
        law,
        ours.tolist(),
    )
    widths = np.diff(parse_law(law).quantile(np.stack([chances - 1e-5, chances + 1e-5])), axis=0)[0]
    inside = np.abs(ours) > 1e-3  # a density may have a cusp at 0
    np.testing.assert_allclose(np.array(density)[inside], (2e-5 / widths)[inside], rtol=1e-3)
    below = (np.array(samples)[:, None] < ours).mean(axis=0)
    np.testing.assert_allclose(below, chances, atol=0.012)


def test_studies_are_shown(wide):
    wide.find_element(By.ID, "tab-noise").send_keys(Keys.ARROW_RIGHT)
    assert wide.find_element(By.ID, "studies").is_displayed()
    assert not wide.find_element(By.ID, "noise").is_displayed()
    heights = wide.execute_script(
        "return [...document.querySelectorAll('#studies [data-root-id]')].map(e => e.firstElementChild.offsetHeight)"
    )
    assert sum(height > 200 for height in heights) == 3
    wide.find_element(By.ID, "tab-studies").send_keys(Keys.ARROW_LEFT)
    assert wide.find_element(By.ID, "noise").is_displayed()


def test_every_view_of_the_studies_can_be_chosen(wide):
    wide.find_element(By.ID, "tab-studies").click()
    panels = wide.execute_script(
        """
        return [...document.querySelectorAll('#studies [data-root-id]')].map(
            e => [...(e.firstElementChild.shadowRoot.querySelector('select')?.options ?? [])].map(o => o.value));
        """
    )
    for index, values in enumerate(panels):
        for value in values:
            choose(wide, f"#studies section:nth-of-type({index // 2 + 1})", value)
    assert sum(map(len, panels)) >= 7


@pytest.mark.parametrize("width", [1280, 375])
def test_nothing_sticks_out(url, width):
    with browser(url, width) as driver:
        for tab in ("noise", "studies"):
            driver.find_element(By.ID, f"tab-{tab}").click()
            reach, inner = driver.execute_script(
                "return [document.documentElement.scrollWidth, window.innerWidth]"
            )
            assert inner == width
            assert reach <= width
        loads = driver.execute_script(
            "return performance.getEntriesByType('resource').map(each => each.name)"
            ".filter(name => !name.startsWith('data:'))"
        )
        assert loads == []
