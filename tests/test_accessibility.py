"""Everybody can use the pages: contrast, words for charts, the keyboard, and what axe-core finds in both themes."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa

from pages.components.colors import INK
from pages.components.figures.backbones import BackboneFacts, scatter_words
from pages.components.figures.class_counts import class_counts_words
from pages.components.figures.confusion import confusion_words
from pages.components.figures.curves import curve_figure, curve_words, overlaid_figure
from pages.components.figures.network import network_words
from pages.components.figures.results import probability_words
from pages.components.frame import OTHER_PAGES, STEPS
from pages.components.train.rate_finder import rate_words
from tests.browser import open_context, sign_in
from tests.coloured_pictures import write_colours_with_mistakes
from tests.page_tests import PAGES_DIR, ROOT_DIR
from tests.ready_projects import ReadyProject, make_project
from tests.screenshots import learn_more
from tests.server import AppServer, serving
from tlcore.backbones.registry import BACKBONES
from tlcore.config import ModelConfig, TrainingConfig
from tlcore.dataset import ClassLabel, Dataset, Item
from tlcore.home import DataRoot
from tlcore.model.architecture import describe_model
from tlcore.storage.copies import copy_project
from tlcore.storage.runs import MetricPoint
from tlcore.storage.sharing import Share, create_share, open_share
from tlcore.training.rate_search import RateSearch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

OWNER = "a" * 24
SCHEMES = ("light", "dark")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
LEAST_CONTRAST = 4.5
"""Of text, by WCAG 2.2 AA."""

CAPTION_SHARE = 0.6
"""Opacity of Streamlit's captions and placeholders."""

COLOUR_RULES = ["color-contrast", "link-in-text-block"]
"""The rules of axe of which a theme decides; all the others see the same document in both."""

EXEMPT = {
    # WCAG asks for no contrast of what cannot be used; axe sees that of the widget, not of Streamlit's label for it or
    # of its links.
    "color-contrast": ":is(label, a)[disabled] *",
}
"""Selector of the elements, by rule of axe, that may break it."""

MOST_TABS = 200


def luminance(color: str) -> float:
    """Return the relative luminance of `#RRGGBB`, in `[0, 1]`, as WCAG defines it."""
    channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mixed(color: str, share: float, background: str) -> str:
    """Return what is seen of a colour of some opacity on a background."""
    pairs = [(int(color[i : i + 2], 16), int(background[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(share * front + (1 - share) * back):02x}" for front, back in pairs)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_theme_has_enough_contrast(scheme: str) -> None:
    theme = tomllib.loads((ROOT_DIR / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"][scheme]
    assert contrast(theme["primaryColor"], "#ffffff") >= LEAST_CONTRAST
    for background in (theme["backgroundColor"], theme["secondaryBackgroundColor"]):
        for text in (theme["textColor"], theme["linkColor"], mixed(theme["textColor"], CAPTION_SHARE, background)):
            assert contrast(text, background) >= LEAST_CONTRAST
    assert INK[scheme] == theme["textColor"]


def charts() -> list[ast.Call]:
    """Return every place of the pages that draws a chart."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PAGES_DIR.rglob("*.py"))]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = ("plotly_chart", "live_plot", "line_chart", "bar_chart", "altair_chart", "vega_lite_chart", "pyplot")
    return [call for call in calls if (ast.unparse(call.func).rsplit(".", 1)[-1]) in names]


def test_every_chart_is_given_a_text_with_its_content() -> None:
    assert len(charts()) >= 11
    for call in charts():
        text = next((keyword.value for keyword in call.keywords if keyword.arg in ("alt", "description")), None)
        assert text is not None, f"no text for people who cannot see it: {ast.unparse(call)}"
        assert not isinstance(text, ast.Constant), f"a text without the chart's content: {ast.unparse(call)}"


def test_curves_are_told_by_their_ends() -> None:
    points = [
        MetricPoint(epoch, name, value)
        for name, first in (("accuracy", 0.5), ("val_accuracy", 0.44), ("loss", 0.9), ("val_loss", 1.0))
        for epoch, value in ((0.5, first), (12.0, first + 0.48))
    ]
    accuracy = curve_figure(points, "accuracy", epochs=None, best_epoch=9)
    told = "Accuracy over 12 epochs: Training ends at 98 %, Validation ends at 92 %, kept: epoch 9."
    assert curve_words(accuracy, "Accuracy") == told
    loss = overlaid_figure({1: points, 2: points}, "loss")
    assert curve_words(loss, "Validation loss") == (
        "Validation loss over 12 epochs: Run 1 ends at 1.48, Run 2 ends at 1.48."
    )
    assert curve_words(curve_figure([], "loss", epochs=5), "Loss") == "Loss: no points yet."


def test_the_other_charts_are_told_by_their_numbers() -> None:
    classes = (ClassLabel("a", "cat", 0), ClassLabel("b", "dog", 1))
    items = [Item(str(n), "ab"[n % 2], ("train", "validation")[n % 3 == 0], f"{n}.png") for n in range(6)]
    assert class_counts_words(Dataset(classes, tuple(items))) == (
        "Pictures of each class: cat 3, dog 3; 4 for train, 2 for validation, 0 for test."
    )
    matrix = np.array([[8, 2], [1, 9]])
    assert confusion_words(matrix, ("cat", "dog")) == (
        "Confusion matrix of 2 classes: 17 of 20 pictures right; cat taken for dog 2×, dog taken for cat 1×."
    )
    assert confusion_words(np.diag([3, 4]), ("cat", "dog")).endswith("7 of 7 pictures right; no mistakes.")
    assert probability_words([0.25, 0.75], ("cat", "dog")) == "Probabilities: dog 75 %, cat 25 %."
    search = RateSearch((0.001, 0.01, 0.1), (1.0, 0.5, 2.0))
    assert "from 0.001 to 0.1" in rate_words(search, 0.01)
    assert "0.01 is set" in rate_words(search, 0.01)
    model = ModelConfig(first_trainable="block7a")
    words = network_words(describe_model(model, 2), "EfficientNet-Lite0", 224)
    assert "the blocks block7a, top and the head learn" in words
    facts = [BackboneFacts(spec, None, is_ready=True) for spec in BACKBONES]
    assert "smallest " in scatter_words(facts, "size", model.backbone)
    assert "chosen EfficientNet-Lite0, " in scatter_words(facts, "size", model.backbone)
    assert "no backbone is known yet" in scatter_words(facts, "speed", model.backbone)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, common_home: DataRoot) -> Iterator[AppServer]:
    with serving(DataRoot(tmp_path_factory.mktemp("accessibility") / "home"), prepared=common_home) as server:
        yield server


@pytest.fixture(scope="module")
def project(app: AppServer, engine: sa.Engine, tmp_path_factory: pytest.TempPathFactory) -> ReadyProject:
    """A project in which everything has been done once; some pictures lie in the wrong class, so there are mistakes."""
    archive = tmp_path_factory.mktemp("pictures") / "colours.zip"
    write_colours_with_mistakes(archive)
    made = make_project(engine, app.home, OWNER, "Colours", archive=archive, training=TrainingConfig(epochs=3))
    learn_more(engine, app.home, made, epochs=2, splits=2)
    return made


@pytest.fixture(scope="module")
def share(app: AppServer, engine: sa.Engine, project: ReadyProject) -> Share:
    """A link by which the person of these tests looks at the same project of somebody else."""
    copy = copy_project(engine, project.id, "b" * 24, app.home, with_runs=True)
    return open_share(engine, create_share(engine, copy.id, "project").code, OWNER)


@pytest.fixture
def context(browser: Browser, app: AppServer) -> Iterator[BrowserContext]:
    opened = open_context(browser, color_scheme="light")
    sign_in(opened, app.address, OWNER)
    yield opened
    opened.close()


def wait_until_still(page: Page) -> None:
    """Wait until the page's script has ended, no skeleton is left, and all that it needs has come."""
    page.wait_for_function("() => document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'")
    page.wait_for_function("() => !document.querySelector('[data-testid=\"stSkeleton\"]')")
    # What the next drawing of the page takes away is pale until it goes.
    page.wait_for_function("() => !document.querySelector('[data-stale=\"true\"]')")
    page.wait_for_load_state("networkidle")
    page.wait_for_function("() => document.getAnimations().every(one => one.playState !== 'running')")


def unfold(page: Page) -> None:
    folds = page.locator("details:not([open]) > summary")
    while folds.count():
        folds.first.click()
        wait_until_still(page)


def show_whole(page: Page) -> None:
    """Make the window as high as the page: axe looks at nothing that a scrolled part hides."""
    height = page.evaluate("() => document.querySelector('.stMain').scrollHeight")
    page.set_viewport_size({"width": 1280, "height": min(height + 100, 8000)})
    wait_until_still(page)


def violations(page: Page) -> list[str]:
    """Return what axe-core finds, one line for each element."""
    return _found(page, {"type": "tag", "values": TAGS})


def violations_in_both_themes(page: Page) -> list[str]:
    """Return what axe-core finds in the light theme, and of colours in the dark one, to which the page changes."""
    found = violations(page)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        """(ink) => {
             const [r, g, b] = getComputedStyle(document.querySelector('.stApp')).color.match(/\\d+/g).map(Number);
             return '#' + [r, g, b].map((one) => one.toString(16).padStart(2, '0')).join('') === ink.toLowerCase();
           }""",
        arg=INK["dark"],
    )
    wait_until_still(page)
    return found + [f"dark: {line}" for line in _found(page, {"type": "rule", "values": COLOUR_RULES})]


def _found(page: Page, rules: dict[str, object]) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": rules}).response["violations"]
    return [
        f"{rule['id']}: {node['html']} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
        if not is_exempt(page.locator(node["target"][0]), rule["id"])
    ]


def is_exempt(element: Locator, rule: str) -> bool:
    return rule in EXEMPT and bool(element.evaluate("(one, selector) => one.matches(selector)", EXEMPT[rule]))


def charts_without_words(page: Page) -> list[str]:
    """Return the charts of the page that no sentence with a number tells."""
    labels = page.locator(".js-plotly-plot").evaluate_all(
        "plots => plots.map(plot => plot.closest('[role=figure]')?.getAttribute('aria-label') ?? '')"
    )
    return [label for label in labels if not re.search(r"\d", label)]


PAGES = {
    "home": "/",
    "data": "/data?project={id}",
    "augment": "/augment?project={id}",
    "model": "/model?project={id}",
    "train": "/train?project={id}&run=next&compare=1-2",
    "train-ended": "/train?project={id}&run={run_id}",
    "understand": "/understand?project={id}&run={run_id}",
    "predict": "/predict?project={id}&run={run_id}",
    "export": "/export?project={id}&run={run_id}",
    "shared": "/shared?code={code}",
    "guest": "/understand?project={guest}",
    "storage": "/storage",
    "nothing-here": "/data?project=none",
    "you": "/you",
    "teacher": "/teacher",
}


def test_every_page_is_looked_at() -> None:
    looked_at = {address.split("?")[0].removeprefix("/") for address in PAGES.values()}
    assert {"", *(spec.step for spec in STEPS), *(name for name, *_ in OTHER_PAGES)} == looked_at


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(
    app: AppServer, context: BrowserContext, project: ReadyProject, share: Share, name: str
) -> None:
    page = context.new_page()
    ids = {"id": project.id, "run_id": project.run_id, "code": share.code, "guest": share.project_id}
    page.goto(app.address + PAGES[name].format(**ids))
    wait_until_still(page)
    unfold(page)
    show_whole(page)
    found = violations_in_both_themes(page)
    print(f"{name}: {len(found)} violations")
    assert not found, "\n\n".join(found)
    assert not charts_without_words(page)


@pytest.mark.slow
def test_axe_finds_nothing_for_a_newcomer(app: AppServer, context: BrowserContext) -> None:
    context.clear_cookies()
    page = context.new_page()
    page.goto(app.address)
    page.get_by_role("button", name="Use the camera").wait_for()
    wait_until_still(page)
    show_whole(page)
    assert violations_in_both_themes(page) == []
    page.emulate_media(color_scheme="light")
    for action in ("Use the camera", "Bring pictures", "Choose a set"):
        page.goto(app.address)
        page.get_by_role("button", name=action).click()
        page.get_by_role("heading", name="Bring your first pictures").wait_for()
        wait_until_still(page)
        show_whole(page)
        assert violations_in_both_themes(page) == [], action
        page.emulate_media(color_scheme="light")


@pytest.mark.slow
def test_axe_finds_nothing_in_what_opens_over_a_page(
    app: AppServer, context: BrowserContext, project: ReadyProject
) -> None:
    page = context.new_page()
    page.goto(app.address)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_text("This cannot be undone").wait_for()
    wait_until_still(page)
    assert violations_in_both_themes(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.emulate_media(color_scheme="light")
    page.goto(f"{app.address}/augment?project={project.id}")
    page.get_by_role("button", name="Colours").click()
    page.get_by_label("Name of the project").wait_for()
    wait_until_still(page)
    assert violations_in_both_themes(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name="Make a link").or_(page.locator("code", has_text="/shared")).first.click()
    page.locator("code", has_text="/shared").first.wait_for()
    wait_until_still(page)
    assert violations_in_both_themes(page) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data", "train-ended", "understand"])
def test_the_keyboard_reaches_the_main_button_behind_every_chart(
    app: AppServer, context: BrowserContext, project: ReadyProject, name: str
) -> None:
    page = context.new_page()
    page.goto(app.address + PAGES[name].format(id=project.id, run_id=project.run_id))
    wait_until_still(page)
    main = page.locator('.stBottom button[kind="primary"]')
    main.wait_for()
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if main.evaluate("button => button === document.activeElement"):
            break
    else:
        pytest.fail("the focus did not come to the main button")
    outline = main.evaluate("button => getComputedStyle(button).outlineWidth")
    assert outline != "0px"
