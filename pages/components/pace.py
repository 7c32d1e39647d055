"""How long work that is watched will still take, at the pace that this browser has seen of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import streamlit as st

from tlcore.storage.jobs import JobStatus


@dataclass(frozen=True, slots=True)
class Pace:
    """When this browser first saw a phase, by `time.monotonic`, and how far it was then."""

    since: float
    done: float


def pace_of(job: JobStatus, done: float) -> Pace:
    """Return what this browser saw first of the present phase, remembered between two looks."""
    key = f"pace-{job.id}-{job.phase}"
    pace: Pace | None = st.session_state.get(key)
    if pace is None or done < pace.done:
        pace = Pace(time.monotonic(), done)
        st.session_state[key] = pace
    return pace


def seconds_left(pace: Pace, done: float, total: float, now: float) -> float | None:
    """Return how long the phase will still take at its pace so far; `None` until there is a pace."""
    seconds, steps = now - pace.since, done - pace.done
    if seconds < 1 or steps <= 0:
        return None
    return max(0.0, total - done) * seconds / steps
