"""Train page: choose how it learns, start a run, watch it."""

from functools import partial

import streamlit as st

from pages.components.errors import errors_shown
from pages.components.forms import GUEST_CANNOT
from pages.components.frame import Step, go_to, open_page, primary_action
from pages.components.results.comparison_view import draw_comparison
from pages.components.results.trained_models import can_answer, is_run_id
from pages.components.settings_conflict import CHOOSE_FIRST, draw_conflict
from pages.components.shown_settings import Screen, leave_settings, look_at_settings, shown_settings
from pages.components.state import NEXT_RUN, Context
from pages.components.text import count
from pages.components.train.recipe_cards import draw_recipes
from pages.components.train.run_list import draw_earlier_runs
from pages.components.train.run_note import draw_note, draw_note_field
from pages.components.train.run_reuse import draw_reuse
from pages.components.train.run_view import draw_ended, draw_live, leave_run
from pages.components.train.simple_heads_panel import draw_simple_heads
from pages.components.train.starting import find_obstacle, find_run_obstacle, start_training
from pages.components.train.training_form import draw_summary, draw_training_form
from tlcore.jobs.control import ensure_runner, stop_job
from tlcore.storage.runs import Run, get_run

PAGE: Step = "train"
NOTHING_STARTED = "Nothing was started."
OTHER_PICTURES = "The pictures of this project have changed; the page shows them now. Press it again to train on these."


def selected_run(context: Context) -> Run | None:
    """Return the run in the address, else the one that waits or works; `None` to prepare a new one."""
    run_id = st.query_params.get("run")
    if run_id == NEXT_RUN:
        return None
    if run_id and is_run_id(run_id):  # a group or simple head of a result page stays in the address, for the way back
        with errors_shown():
            run = get_run(context.engine, run_id)
            if run.job.project_id == context.project.id:
                return run
            st.info("The run in this address belongs to another project. Here are the runs of this one.")
        del st.query_params["run"]
    # Of several in line the one that works, or will first. Whoever has settings on the screen keeps them there.
    active = next((run for run in reversed(context.runs) if run.job.is_active), None)
    shown = shown_settings(context.project.id)
    if active is not None and (shown is None or shown.page != PAGE):
        st.query_params["run"] = active.id
        return active
    return None


def why_not_started(screen: Screen) -> str:
    """Return why what would be trained is not what was on the screen, and what to do; empty when it is."""
    was_pressed = bool(st.session_state.get("start"))
    if screen.is_undecided:
        return f"{NOTHING_STARTED} {CHOOSE_FIRST}" if was_pressed else CHOOSE_FIRST
    return f"{NOTHING_STARTED} {OTHER_PICTURES}" if screen.has_other_pictures and was_pressed else ""


def say_why_not(reason: str) -> None:
    """Draw why nothing is started, beside the button and so always in sight."""
    st.markdown(f":material/block: {reason}")


def prepare(screen: Screen) -> None:
    """Choose the settings and start."""
    context = screen.context
    # While the person looks, the runner gets ready; the first progress then comes a second earlier.
    if not context.is_guest:
        ensure_runner(context.home)
    obstacle = GUEST_CANNOT if context.is_guest else find_run_obstacle(context)
    stale = why_not_started(screen)
    # The button stands at the bottom wherever it is called; first, so that a press is answered at once.
    if (
        primary_action(
            "Start training",
            key="start",
            icon=":material/play_arrow:",
            disabled=obstacle is not None or screen.is_undecided,
            beside=partial(say_why_not, stale) if stale else None,
        )
        and obstacle is None
        and not stale
    ):
        with errors_shown():
            st.query_params["run"] = start_training(context)
            st.rerun()
    draw_conflict(screen)
    ahead = sum(run.job.is_active for run in context.runs)
    if ahead:
        st.info(
            f"{count(ahead, 'run')} of this project {'is' if ahead == 1 else 'are'} at work or in line. What you start "
            "now begins by itself after that.",
            icon=":material/hourglass_empty:",
        )
    if not context.is_guest:
        draw_recipes(context)
    draw_training_form(context)
    with st.expander("Simple heads, in seconds (feature extraction)", icon=":material/bolt:", key="simple-heads"):
        heads_obstacle = find_obstacle(context)
        if heads_obstacle is None:
            draw_simple_heads(context)
        else:
            st.markdown(heads_obstacle)
    draw_summary(context)
    if not context.is_guest:
        draw_note_field(context)
    if obstacle is not None:
        st.warning(obstacle, icon=":material/block:")


def watch(context: Context, run: Run) -> None:
    """Show a run: live with a way to stop it, or what it reached and where to go from there."""
    draw_note(run)
    if run.job.is_active:
        stopping = run.job.stop_requested is not None
        text = "Stopping" if stopping else "Stop and keep the best"
        if primary_action(text, key="stop", icon=":material/stop_circle:", disabled=stopping or context.is_guest):
            stop_job(context.engine, run.job, context.home)
            st.rerun()
        draw_live(context, run.id)
        st.button(
            "Prepare the next run",
            disabled=context.is_guest,
            key="next_run",
            icon=":material/playlist_add:",
            help="Choose settings while this one works. The next run waits in line and begins by itself.",
            on_click=leave_run,
        )
        return
    draw_ended(context, run)
    draw_reuse(context, run)
    if can_answer(context, run):
        if primary_action("Try it on a picture", icon=":material/arrow_forward:", icon_position="right"):
            go_to("predict", run=run.id)
    elif run.has_model:  # its model was freed, which is said above
        if primary_action("See how good it was", icon=":material/search:"):
            go_to("understand", run=run.id)
    elif primary_action("Back to the settings", icon=":material/tune:"):
        leave_run()
        st.rerun()


context = open_page(PAGE)
run = selected_run(context)
if run is None:
    screen = look_at_settings(context, PAGE)
    context = screen.context
    prepare(screen)
else:
    leave_settings()
    watch(context, run)
draw_earlier_runs(context, run)
draw_comparison(context, run)
