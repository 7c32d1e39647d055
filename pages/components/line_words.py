"""What people read about the place of a waiting job in its line."""

from __future__ import annotations

import sqlalchemy as sa
import streamlit as st

from pages.components.amounts import duration, ordinal
from pages.components.state import Visit
from pages.components.text import count
from tlcore.home import DataRoot
from tlcore.jobs.line import Place, durations_of, place_in_line
from tlcore.jobs.slots import slots_of
from tlcore.storage.jobs import JobKind, JobStatus

REMEMBER_SECONDS = 20.0

NOUNS: dict[JobKind, str] = {
    "run": "run",
    "import": "import",
    "search": "search",
    "cross_validation": "cross-validation",
    "weights_download": "download",
    "weights_check": "check",
    "doctor": "check",
    "map": "map",
}
"""What a job is called where several of a kind are counted; the others are tasks."""


def line_words(visit: Visit, job: JobStatus) -> str:
    """Say where a waiting job stands in its line; empty when none goes before it."""
    place = place_in_line(visit.engine, job, visit.owner, _durations(visit.engine, visit.home, job.kind))
    return place_words(place, NOUNS.get(job.kind, "task"))


# Among all jobs of a term the last ones are found slowly, and thirty pages ask about once a second.
@st.cache_data(ttl=REMEMBER_SECONDS, max_entries=64, show_spinner=False)
def _durations(_engine: sa.Engine, home: DataRoot, kind: JobKind) -> list[float]:
    return durations_of(_engine, kind)


def place_words(place: Place, noun: str) -> str:
    """Say a place in words, such as `you are 3rd in line; 2 runs of others go first, about 4 min`.

    Args:
        place: The place.
        noun: What is waited for, in the singular.
    """
    if not place.ahead:
        return ""
    jobs = count(place.ahead, noun)
    if place.of_others == place.ahead:
        whose = f"{jobs} of others"
    elif not place.of_others:
        whose = f"{jobs} of yours"
    else:
        whose = f"{jobs}, {place.of_others:,} of them of others,"
    words = f"you are {ordinal(place.ahead + 1)} in line; {whose} {'goes' if place.ahead == 1 else 'go'} first"
    return words if place.seconds is None else f"{words}, about {duration(place.seconds)}"


def line_sentence(kind: JobKind) -> str:
    """Say how the line of a kind moves."""
    slots = slots_of(kind)
    at_a_time = "One training works" if slots == 1 else f"{slots:,} trainings work"
    return (
        f"{at_a_time} at a time, and people take turns. You can close this page; it starts by itself when its turn "
        "comes."
    )
