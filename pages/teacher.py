"""The teacher's page: who works on what, people, what the class may change, the disk."""

import streamlit as st

from pages.components.errors import show_error, show_kept_error
from pages.components.frame import HOME_PAGE
from pages.components.shown_settings import leave_settings
from pages.components.state import read_visit
from pages.components.teacher.class_panel import draw_class
from pages.components.teacher.disk import draw_disk
from pages.components.teacher.hand_out import draw_hand_out
from pages.components.teacher.login import come_back, draw_login, leave
from pages.components.teacher.people import draw_people, names_of
from pages.components.teacher.work import draw_work
from pages.server.teacher import is_teacher
from tlcore.errors import TransferLabError

SECTIONS = {
    "work": ":material/memory: At work",
    "people": ":material/groups: People",
    "hand_out": ":material/share: Hand out",
    "class": ":material/lock: The class",
    "disk": ":material/hard_drive: The disk",
}

leave_settings()
try:
    visit = read_visit()
except TransferLabError as error:
    show_error(error)
    st.stop()

st.page_link(HOME_PAGE, label="Home", icon=":material/home:")
st.title("For teachers", anchor=False)
come_back(visit)
show_kept_error()
if not is_teacher(visit.owner):
    draw_login(visit)
    st.stop()

with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
    section = st.segmented_control(
        "Show",
        list(SECTIONS),
        format_func=SECTIONS.__getitem__,
        required=True,
        default="work",
        key="teacher-section",
        label_visibility="collapsed",
    )
    # Not the page's primary action: nobody comes here to leave.
    if st.button("Leave", key="teacher-leave", type="tertiary", icon=":material/logout:"):
        leave(visit)
if section == "work":
    draw_work(visit, names_of(visit))
elif section == "people":
    draw_people(visit)
elif section == "hand_out":
    draw_hand_out(visit, names_of(visit))
elif section == "class":
    draw_class(visit)
else:
    draw_disk(visit)
