"""The entry script: page settings, the list of pages, who comes in, and the last place where errors become words."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

PAGES_DIR = Path(__file__).resolve().parent
if str(PAGES_DIR.parent) not in sys.path:
    sys.path.insert(0, str(PAGES_DIR.parent))

from pages.components.class_code import draw_class_code  # noqa: E402
from pages.components.errors import errors_shown  # noqa: E402
from pages.components.frame import CONTRAST_STYLE, HOME_PAGE, OTHER_PAGES, STEPS  # noqa: E402
from pages.components.session import visitor_at_the_door  # noqa: E402
from pages.server.teacher import TEACHER_PAGE  # noqa: E402

# A file of our own: the icon of a Material symbol would be fetched from outside.
st.set_page_config(page_title="Transfer Lab", page_icon=str(PAGES_DIR / "components" / "icon.png"), layout="wide")

st.html(CONTRAST_STYLE)

page = st.navigation(
    [
        st.Page(HOME_PAGE, title="Transfer Lab", default=True),
        *(st.Page(spec.path, title=f"{spec.title} · Transfer Lab") for spec in STEPS),
        *(st.Page(PAGES_DIR / f"{name}.py", title=f"{title} · Transfer Lab") for name, title, _ in OTHER_PAGES),
    ],
    position="hidden",
)
with errors_shown():
    new = visitor_at_the_door()
    if new is not None and page.url_path != TEACHER_PAGE:
        draw_class_code(new)
    else:
        page.run()
