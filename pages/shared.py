"""Where a link leads: whose project it gives, what is in it, and what one may do with it."""

from typing import NoReturn

import streamlit as st

from pages.components.errors import errors_shown, show_error
from pages.components.frame import HOME_PAGE, go_to, primary_action
from pages.components.sharing import CODE, contents_words, copy_state, look, take, whose_words
from pages.components.shown_settings import leave_settings
from pages.components.state import Visit, read_visit
from pages.components.text import label
from tlcore.errors import ImageError, NotFoundError, TransferLabError
from tlcore.storage.images import ImageStore
from tlcore.storage.projects import get_project
from tlcore.storage.retention import touch_shared
from tlcore.storage.sharing import Share, find_share

SAMPLES = 6
SAMPLE_PIXELS = 110

ALLOWS = {
    "look": "You may look at all of it and try its models. Nothing that you do there changes it.",
    "pictures": "You may make a copy of its pictures and settings. The copy is yours, and you train your own models.",
    "project": "You may look at it, or make a copy with its pictures, settings, models and results. The copy is yours.",
}


def draw_pictures(visit: Visit, share: Share) -> None:
    """Show a picture of several classes, so that one sees what it is about."""
    dataset = visit.dataset_of(get_project(visit.engine, share.project_id, share.owner))
    images = ImageStore(visit.home)
    with st.container(horizontal=True, key="shared-pictures"):
        for one in dataset.classes[:SAMPLES]:
            item = next((item for item in dataset.items if item.class_id == one.id), None)
            if item is None:
                continue
            try:
                st.image(images.thumbnail(item.image), width=SAMPLE_PIXELS, caption=label(one.name), alt=one.name)
            except ImageError:
                continue


def go_home() -> NoReturn:
    """Make going Home the one action of the page."""
    # A key of its own: a press on what an older page offered is no wish to go there.
    if primary_action("Go to Home", key="shared-home", icon=":material/home:"):
        st.switch_page(HOME_PAGE, query_params={})
    st.stop()


leave_settings()
st.page_link(HOME_PAGE, label="Home", icon=":material/home:")
try:
    visit = read_visit()
    share = find_share(visit.engine, st.query_params.get(CODE, ""))
    touch_shared(visit.engine, share.project_id)
    words = contents_words(visit, share)
except NotFoundError as error:
    st.title("Nothing here", anchor=False)
    st.info(label(str(error)), icon=":material/link_off:")
    go_home()
except TransferLabError as error:
    show_error(error)
    go_home()

st.title(label(share.name), anchor=False)
if share.owner == visit.owner:
    st.info("This is your own project, as others see the link. Send them the address of this page.")
    if primary_action("Open it", icon=":material/folder_open:"):
        go_to("data", project=share.project_id)
    st.stop()
st.markdown(f"{words}  \n{whose_words(share)}")
with errors_shown():
    draw_pictures(visit, share)
st.markdown(ALLOWS[share.kind])


def draw_look() -> None:
    """Offer to look at the project, beside the copy."""
    if st.button("Look at it", key="shared-look", icon=":material/visibility:"):
        with errors_shown():
            go_to("data", project=look(visit, share))


if share.lets_copy:
    if primary_action(
        "Make a copy",
        key="shared-copy",
        icon=":material/content_copy:",
        beside=draw_look if share.lets_look else None,
        **copy_state(visit, share),
    ):
        with errors_shown():
            go_to("data", project=take(visit, share))
elif primary_action("Look at it", key="shared-look", icon=":material/visibility:"):
    with errors_shown():
        go_to("data", project=look(visit, share))
