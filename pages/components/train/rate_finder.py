"""The learning-rate finder: try all rates in a few seconds, see where the loss falls, take the suggestion."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from pages.components.colors import TRAINING_COLOR
from pages.components.errors import errors_shown, show_error
from pages.components.figures.curves import NOW_COLOR, marked_line
from pages.components.figures.live_plot import Figure, live_plot
from pages.components.forms import SettingsForm, work_state
from pages.components.job_view import watch_job
from pages.components.state import Context
from pages.components.text import label
from tlcore.config import RunConfig
from tlcore.errors import UnreadableError
from tlcore.jobs.control import start_job
from tlcore.settings.words import decimal
from tlcore.storage.jobs import JobStatus, last_job, read_request, read_result
from tlcore.storage.requests import SettingsRequest
from tlcore.training.rate_search import RateSearch

HEIGHT = 260
BAND_COLOR = "rgba(138, 143, 152, 0.25)"
WHY = (
    "It trains for some steps and makes the learning rate larger in each: from one hundred-thousandth to three, four "
    "times over, from the same start with the pictures in another order. First nothing happens, then the loss falls, "
    "then it explodes. A good rate is where more than half of the fall is done; at the lowest point it is too large."
)


def draw_rate_finder(context: Context, *, is_ready: bool) -> None:
    """Offer the search, show it while it works, and what it found; `is_ready` says whether training could start."""
    search = last_job(context.engine, context.project.id, "search")
    if search is not None and search.is_active:
        watch_job(context, search.id)
        return
    if st.button(
        "Find a learning rate",
        key="find_rate",
        icon=":material/troubleshoot:",
        **work_state(context, "learning", help=WHY, disabled=not is_ready),
    ):
        request = SettingsRequest(context.version, context.project.config)
        with errors_shown():
            start_job(context.engine, context.home, "search", context.project.id, request)
            st.rerun()
        return
    if search is None:
        st.caption("Takes a few seconds, and longer when the frozen blocks have not seen your pictures yet.")
    elif search.state == "failed":
        show_error(search.message)
    else:
        _draw_last_result(context, search)


def _draw_last_result(context: Context, search: JobStatus) -> None:
    """Draw what the last search found, if it ended well and this version can read it."""
    try:
        found = read_result(context.engine, search.id, RateSearch)
        if found is not None:
            _draw_result(context, read_request(context.engine, search.id, SettingsRequest), found)
    except UnreadableError as error:
        st.caption(f"The last search cannot be shown. {label(str(error))}")


def _draw_result(context: Context, request: SettingsRequest, found: RateSearch) -> None:
    config = context.project.config
    live_plot(
        rate_figure(found, config.training.learning_rate),
        key="rate_search",
        height=HEIGHT,
        description=rate_words(found, config.training.learning_rate),
    )
    if found.suggestion is None:
        st.info("The loss fell at no rate. Check the pictures, or let more of the model learn.")
        return
    if found.single_suggestions:
        st.caption(how_sure(found, found.suggestion))
    if alike(request.config) != alike(config):
        st.caption("The settings have changed since this search; search again to be sure.")
    if found.suggestion == config.training.learning_rate:
        st.caption(f"You use the suggested learning rate, {found.suggestion:g}.")
        return
    form = SettingsForm(context, "training")
    st.button(
        f"Use {decimal(found.suggestion)}",
        key="use_rate",
        icon=":material/check:",
        on_click=lambda: form.change(lambda part: replace(part, learning_rate=found.suggestion)),
        **form.state("learning_rate"),
    )


def how_sure(found: RateSearch, suggestion: float) -> str:
    """Return how far the sweeps of a search agree, in words."""
    low, high = decimal(found.single_suggestions[0]), decimal(found.single_suggestions[-1])
    each = low if low == high else f"{low} to {high}"
    return (
        f"The line is the mean of {len(found.sweeps)} sweeps, the band holds them all. "
        f"Together they suggest {decimal(suggestion)}, alone {each}."
    )


def alike(config: RunConfig) -> tuple[object, ...]:
    """Return the settings that a search depends on."""
    training = config.training
    return config.model, config.augmentation, training.optimizer, training.batch_size, training.label_smoothing


def rate_words(found: RateSearch, present: float) -> str:
    """Return what the figure shows in a sentence, for those who cannot see it; arguments as of `rate_figure`."""
    loss, rate = min(zip(found.smoothed, found.rates, strict=True))
    suggested = "none is suggested" if found.suggestion is None else f"{decimal(found.suggestion)} is suggested"
    return (
        f"Training loss at learning rates from {found.rates[0]:.1g} to {found.rates[-1]:.1g}: {found.smoothed[0]:.2f} "
        f"at first, lowest with {loss:.2f} at {rate:.1g}; {suggested}, {decimal(present)} is set."
    )


def rate_figure(found: RateSearch, present: float) -> Figure:
    """Return the figure of a search: the loss over the learning rate, what is suggested and what is set now.

    Args:
        found: What the search found.
        present: The learning rate that is set now.
    """
    marks = [(present, "now", NOW_COLOR)]
    if found.suggestion is not None and found.suggestion != present:
        marks.append((found.suggestion, "suggested", TRAINING_COLOR))
    # Two labels stand on either side of their lines, so that they do not cover each other.
    sides = ["center"] if len(marks) == 1 else ["right", "left"]
    lowest, highest = found.spread
    edge = {"type": "scatter", "x": list(found.rates), "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    line = {"color": TRAINING_COLOR, "width": 3}
    return {
        "data": [
            edge | {"y": [round(value, 4) for value in lowest]},
            edge | {"y": [round(value, 4) for value in highest]} | {"fill": "tonexty", "fillcolor": BAND_COLOR},
            {
                "type": "scatter",
                "x": list(found.rates),
                "y": [round(value, 4) for value in found.smoothed],
                "mode": "lines",
                "line": line,
                "hovertemplate": "learning rate %{x:.2g}: loss %{y:.3f}<extra></extra>",
            },
        ],
        "layout": {
            "margin": {"l": 8, "r": 12, "t": 24, "b": 8},
            "showlegend": False,
            "xaxis": {"type": "log", "title": {"text": "Learning rate"}, "exponentformat": "none", "nticks": 5},
            "yaxis": {"title": {"text": "Loss"}, "rangemode": "tozero"},
            "shapes": [
                marked_line(rate, text, color, textposition="end", xanchor=side, yanchor="bottom")
                for (rate, text, color), side in zip(sorted(marks), sides, strict=True)
            ],
        },
    }
