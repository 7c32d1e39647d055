"""The teacher's page: who works on what, people, what the class may change, the disk."""

import streamlit as st

from pages.components.errors import show_error, show_kept_error
from pages.components.frame import HOME_PAGE, primary_action
from pages.components.shown_settings import leave_settings
from pages.components.state import read_visit
from pages.components.teacher.class_panel import draw_class
from pages.components.teacher.login import come_back, draw_login, leave
from pages.components.teacher.work import draw_work
from pages.server.teacher import is_teacher
from tlcore.errors import TransferLabError

SECTIONS = {
    "work": ":material/memory: At work",
    "class": ":material/lock: The class",
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

section = st.segmented_control(
    "Show",
    list(SECTIONS),
    format_func=SECTIONS.__getitem__,
    required=True,
    default="work",
    key="teacher-section",
    label_visibility="collapsed",
)
if section == "work":
    draw_work(visit, lambda owner: owner)
else:
    draw_class(visit)
if primary_action("Leave", key="teacher-leave", icon=":material/logout:"):
    leave(visit)
    st.rerun()
