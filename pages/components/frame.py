"""The frame of every page: project, steps, running job, and the one primary action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import streamlit as st

from pages.components.errors import errors_kept, errors_shown, show_error, show_kept_error
from pages.components.forms import show_stored
from pages.components.job_words import hindrance
from pages.components.line_words import line_words
from pages.components.sharing import copy_state, draw_share, giver_words, share_of_guest, take
from pages.components.shown_settings import is_undecided, leave_settings
from pages.components.state import Context, Visit, link_params, read_context, read_visit
from pages.components.text import label
from pages.components.unreadable import draw_unreadable, unreadable_models
from tlcore.errors import ConflictError, NotFoundError, StorageError, TransferLabError
from tlcore.progress import phase_words
from tlcore.storage.jobs import ACTIVE_STATES, JobKind, JobStatus, list_jobs, read_request
from tlcore.storage.people import called, read_person
from tlcore.storage.projects import MAX_NAME_LENGTH, mark_visited, rename_project
from tlcore.storage.requests import CrossValidationRequest
from tlcore.storage.simple_heads import list_simple_heads

Step = Literal["data", "augment", "model", "train", "understand", "predict", "export"]

Need = Literal["nothing", "data", "model"]

PAGES_DIR = Path(__file__).resolve().parents[1]
HOME_PAGE = PAGES_DIR / "home.py"
POLL_SECONDS = 2.0
LINK_SECONDS = 4.0
"""So long a page of a guest stays open, at most, after the link was ended."""

SETTINGS_STEPS: tuple[Step, ...] = ("augment", "model", "train")
"""On whose pages settings are chosen, and a person is asked whose count."""

TYPED_NAME = "typed-project-name"

JOB_NAMES: dict[JobKind, str] = {
    "run": "Training",
    "import": "Import",
    "search": "Learning-rate search",
    "measure": "Measurement",
    "simple_heads": "Simple heads",
    "cross_validation": "Cross-validation",
    "backbones": "Measurement of all backbones",
    "weights_download": "Download of weights",
    "weights_check": "Check of your weights",
    "doctor": "Check of your pictures",
    "map": "Map of the pictures",
    "prediction": "Answers to your pictures",
    "export": "Files of your model",
}


JOB_STEPS: dict[JobKind, tuple[Step, ...]] = {
    "import": ("data",),
    "simple_heads": ("train", "understand"),
    "cross_validation": ("understand",),
    "backbones": ("model",),
    "weights_download": ("model", "train"),
    "weights_check": ("model",),
    "doctor": ("data",),
    "map": ("understand",),
    "prediction": ("predict",),
    "export": ("export",),
}
"""On whose pages jobs are watched, the first choice first; the others on Train."""


# The one style of our own, for what the theme cannot say. Streamlit writes what is chosen, dragged, opened or pointed
# at in its primary colour, on dark ground too: no violet that is dark enough below white text is bright enough for
# that. Its ring around what has the focus has a contrast below 3. The name that stands thrice outweighs its rule for
# a chosen button below the pointer.
CONTRAST_STYLE = """<style>
.stButtonGroup.stButtonGroup.stButtonGroup button[data-selected]:not([data-disabled]),
[data-testid="stSliderThumbValue"],
button[kind="tertiary"]:not(:disabled):is(:hover, :focus-visible, :active, [aria-expanded="true"]) { color: inherit; }
.stApp :is(a, button, summary):focus-visible { outline: 0.125rem solid currentColor; outline-offset: 0.125rem; }
button[aria-label^="Download as CSV"] { display: none; }
.st-key-shown-code code { font-size: 2rem; letter-spacing: 0.06em; }
.st-key-shown-code .stCode > div { opacity: 1; visibility: visible; pointer-events: auto; }
.st-key-class-code-typed input { font-size: 1.6rem; height: 3.4rem; }
</style>"""
"""Streamlit's own download of tables is taken away: it writes names as they are, also those that act as formulas."""


@dataclass(frozen=True, slots=True)
class StepSpec:
    """A step: its name, what one does there, and what must be there before it makes sense."""

    step: Step
    title: str
    sentence: str
    needs: Need

    @property
    def path(self) -> Path:
        """The file of its page."""
        return PAGES_DIR / f"{self.step}.py"


STEPS: tuple[StepSpec, ...] = (
    StepSpec("data", "Data", "Show the computer pictures of the things it shall tell apart.", "nothing"),
    StepSpec("augment", "Augment", "Change pictures a little at random, so that the model sees more variety.", "data"),
    StepSpec("model", "Model", "Choose a network that can already see, and how much of it learns anew.", "data"),
    StepSpec("train", "Train", "Let the model learn from your pictures, and watch it.", "data"),
    StepSpec("understand", "Understand", "See how good the model is, and where it is wrong.", "model"),
    StepSpec("predict", "Predict", "Ask the model about pictures that it has never seen.", "model"),
    StepSpec("export", "Export", "Take the model with you.", "model"),
)

OTHER_PAGES: tuple[tuple[str, str, str], ...] = (
    ("shared", "A project for you", ""),
    ("storage", "Storage", ":material/hard_drive:"),
    ("teacher", "For teachers", ":material/school:"),
    ("you", "You", ":material/account_circle:"),
)
"""Pages beside the steps: the name of the file, the title, and the icon of the link at the foot of Home, which is empty
where none leads there."""


def find_step(step: Step) -> StepSpec:
    """Return the row of a step."""
    return next(spec for spec in STEPS if spec.step == step)


def open_page(step: Step) -> Context:
    """Draw the frame with the page's title and sentence, and return what the page works on.

    Stops the page with a hint when the project is not there, or when pictures or a trained model (of a run, or simple
    heads) that the step needs are not there yet. The step is marked as visited, but not by a guest.
    """
    project_id = st.query_params.get("project")
    if not project_id:
        _dead_end("This address names no project. Open one from Home.")
    try:
        context = read_context(project_id)
        if not context.is_guest:
            with suppress(StorageError):  # on a full disk the page opens all the same; it is noted the next time
                mark_visited(context.engine, context.project, step)
        has_model = any(run.has_model for run in context.runs) or bool(list_simple_heads(context.engine, project_id))
        jobs = list_jobs(context.engine, states=ACTIVE_STATES, project_id=project_id)
    except NotFoundError as error:
        _dead_end(str(error))
    except TransferLabError as error:
        show_error(error)
        st.stop()
    damage = None
    try:
        has_data = bool(context.dataset.items)
    except TransferLabError as error:  # pages of trained models stay open, and Data with its way back
        has_data, damage = False, error
    leave_settings(project_id, step)
    spec = find_step(step)
    has: dict[Need, bool] = {"nothing": True, "data": has_data, "model": has_model}
    _draw_top(context, spec, has)
    if context.is_guest:
        _draw_guest(context)
    elsewhere = [job for job in jobs if job.kind != "measure" and step not in job_steps(job)]
    if elsewhere:
        _watch_jobs(context, [job.id for job in elsewhere])
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small"):
        st.title(spec.title, anchor=False, width="content")
        if not context.is_guest:
            draw_share(context)
    st.markdown(spec.sentence)
    show_kept_error()
    _draw_typed_name(context)
    if step not in SETTINGS_STEPS and is_undecided(project_id):
        st.info(
            "Another tab has changed the settings of this project, and it is not chosen yet whose count. Until you "
            "choose on Train, what you change stays in this tab.",
            icon=":material/tab_duplicate:",
        )
    if damage is not None:
        show_error(damage)
        if spec.needs == "data":
            next_step("Go to Data", "data")
            st.stop()
    if spec.needs == "data" and not has_data:
        _hint("There are no pictures in this project yet.", "Bring pictures", "data")
    if spec.needs == "model":
        draw_unreadable(unreadable_models(context))
        if not has_model:
            _hint("There is no trained model in this project yet.", "Train a model", "train")
    return context


def job_steps(job: JobStatus) -> tuple[Step, ...]:
    """Return the steps on whose pages a job is watched, the first choice first."""
    return JOB_STEPS.get(job.kind, ("train",))


def primary_action(
    text: str,
    *,
    key: str = "primary",
    icon: str | None = None,
    icon_position: Literal["left", "right"] = "left",
    disabled: bool = False,
    help: str | None = None,  # noqa: A002
    beside: Callable[[], None] | None = None,
) -> bool:
    """Draw the page's one primary action, bottom right and always in sight; return whether it was pressed.

    Call it once per page and outside of fragments. `beside` draws what stands to the left of it.
    """
    with st.bottom, st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center"):
        if beside is not None:
            beside()
        return st.button(
            text, key=key, type="primary", icon=icon, icon_position=icon_position, disabled=disabled, help=help
        )


def next_step(
    text: str,
    step: Step,
    *,
    run: str | None = None,
    disabled: bool = False,
    help: str | None = None,  # noqa: A002
    beside: Callable[[], None] | None = None,
) -> None:
    """Make going to a step the page's primary action.

    Args:
        text: What the button says, such as `Next: Model`.
        step: Where it leads, in the same project.
        run: The run that the next page shall show; the one in the address when not given.
        disabled: Whether it cannot be pressed yet.
        help: Why not, or what comes there.
        beside: Draws what stands to the left of it.
    """
    icon = ":material/arrow_forward:"
    if primary_action(text, icon=icon, icon_position="right", disabled=disabled, help=help, beside=beside):
        go_to(step, run=run)


def go_to(step: Step, *, project: str | None = None, run: str | None = None) -> None:
    """Go to the page of a step, in the project of this page unless another is named."""
    params = link_params(project or st.query_params["project"], run or st.query_params.get("run"))
    st.switch_page(find_step(step).path, query_params=params)


def step_link(step: Step, text: str, icon: str | None, project: str, run: str | None = None, **options: Any) -> None:
    """Draw a link to the page of a step; further options are those of `st.page_link`."""
    st.page_link(find_step(step).path, label=text, icon=icon, query_params=link_params(project, run), **options)


def _draw_top(context: Context, current: StepSpec, has: Mapping[Need, bool]) -> None:
    done = _done_steps({*context.project.visited, current.step}, has)
    upcoming = next((spec for spec in STEPS if spec.step not in done and spec.step != current.step), None)
    missing = {"data": "Bring pictures first, on Data.", "model": "Train a model first, on Train."}
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="frame-steps"):
        st.page_link(HOME_PAGE, label="Home", icon=":material/home:")
        if context.is_guest:
            st.markdown(f"**{label(context.project.name)}**", width="content")
        else:
            _draw_name(context)
        for number, spec in enumerate(STEPS, start=1):
            is_open = has[spec.needs]
            step_link(
                spec.step,
                f"{number} {spec.title}" if spec is not current else f"**{number} {spec.title}**",
                _step_icon(spec.step in done, spec is upcoming and is_open),
                context.project.id,
                st.query_params.get("run"),
                disabled=not is_open and spec is not current,
                help=None if is_open else missing[spec.needs],
            )


def _draw_name(context: Context) -> None:
    """Show the name of the project; a tap opens a field for another one."""
    project = context.project

    def rename() -> None:
        typed = st.session_state["project-name"]
        with errors_kept():
            try:
                rename_project(context.engine, project.id, typed, before=project.name)
            except ConflictError:  # what was typed is kept, and the page asks which name counts
                st.session_state[TYPED_NAME] = (project.id, typed)

    with st.popover(f"**{label(project.name)}**", type="tertiary", icon=":material/edit:", key="frame-name"):
        show_stored("project-name", project.name)
        st.text_input("Name of the project", max_chars=MAX_NAME_LENGTH, key="project-name", on_change=rename)


def _draw_guest(context: Context) -> None:
    """Say whose project this is, what a guest can do, and offer the copy where the link allows one."""
    share = share_of_guest(context)
    owner = read_person(context.engine, context.project.owner)
    whose = giver_words(called(owner.name, owner.number))
    _watch_link(context)
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="guest"):
        st.markdown(
            f":material/visibility: You look at {whose}. Look around and try its models: nothing that you do here "
            "changes it."
        )
        if (
            share is not None
            and share.lets_copy
            and st.button("Make a copy", key="guest-copy", icon=":material/content_copy:", **copy_state(context, share))
        ):
            with errors_shown():
                go_to("data", project=take(read_visit(), share))


@st.fragment(run_every=LINK_SECONDS)
def _watch_link(context: Context) -> None:
    """Draw the page anew, which then says so, when the link by which a guest came has been ended."""
    try:
        read_context(context.project.id)
    except TransferLabError:
        st.rerun()


def _draw_typed_name(context: Context) -> None:
    """Let the person choose where another tab renamed the project while a name was typed here."""
    project = context.project
    of_project, typed = st.session_state.get(TYPED_NAME, ("", ""))
    if of_project != project.id or typed == project.name:
        st.session_state.pop(TYPED_NAME, None)
        return

    def choose(name: str) -> None:
        with errors_kept():
            rename_project(context.engine, project.id, name)
            st.session_state.pop(TYPED_NAME, None)

    with st.container(border=True, key="name-conflict"):
        st.markdown(
            f":material/tab_duplicate: Another tab has named this project **{label(project.name)}** while you typed "
            f"**{label(typed)}**. Which name shall it have?"
        )
        with st.container(horizontal=True):
            st.button("Mine", key="name-mine", icon=":material/check:", on_click=choose, args=(typed,))
            st.button("Theirs", key="name-theirs", icon=":material/sync:", on_click=choose, args=(project.name,))


def _done_steps(visited: set[str], has: Mapping[Need, bool]) -> set[Step]:
    """Return the steps that are done: opened, and with the result that the step is there for."""
    result = {"data": has["data"], "train": has["model"]}
    return {spec.step for spec in STEPS if spec.step in visited and result.get(spec.step, has[spec.needs])}


def _step_icon(is_done: bool, is_upcoming: bool) -> str:
    if is_done:
        return ":material/check_circle:"
    return ":material/arrow_circle_right:" if is_upcoming else ":material/radio_button_unchecked:"


@st.fragment(run_every=POLL_SECONDS)
def _watch_jobs(context: Context, job_ids: list[str]) -> None:
    """Show the jobs that work on this project while another page is open; redraw the page when one ends."""
    jobs = list_jobs(context.engine, states=ACTIVE_STATES, project_id=context.project.id)
    active = [job for job in jobs if job.id in job_ids]
    if len(active) < len(job_ids):
        st.rerun()
    for job in active:
        with st.container(horizontal=True, vertical_alignment="center", key=f"frame-job-{job.id}"):
            text, fraction = job_progress(context, job)
            st.progress(fraction, text=text, width=320)
            step_link(job_steps(job)[0], "Watch", ":material/visibility:", context.project.id, _run_of(context, job))


def _run_of(context: Context, job: JobStatus) -> str | None:
    """Return the run on whose page a job is watched; `None` when it is about no run."""
    if job.kind == "cross_validation":
        return read_request(context.engine, job.id, CrossValidationRequest).run_id
    return job.id if job.kind == "run" else None


def job_progress(visit: Visit, job: JobStatus) -> tuple[str, float]:
    """Return what a job is doing, in words, and the fraction of its present phase that is done."""
    name = JOB_NAMES[job.kind]
    if job.state == "queued":
        place = hindrance(visit.home) or line_words(visit, job)
        return (f"{name} waits: {place}" if place else f"{name} is about to start"), 0.0
    if job.stop_requested is not None:
        return f"{name} is stopping", 0.0
    if job.silent:
        return f"{name} is not answering", 0.0
    if not job.phase:
        return f"{name} is starting", 0.0
    text = phase_words(job.phase, job.subject)
    if job.kind == "import":
        text = f"Import: {text}"
    if job.total <= 0:
        return text, 0.0
    return f"{text}, {job.done:,} of {job.total:,}", min(1.0, job.done / job.total)


def _hint(text: str, action: str, step: Step) -> NoReturn:
    st.info(text, icon=":material/lightbulb:")
    next_step(action, step)
    st.stop()


def _dead_end(text: str) -> NoReturn:
    st.title("Nothing here", anchor=False)
    st.info(label(text), icon=":material/travel_explore:")
    if primary_action("Go to Home", icon=":material/home:"):
        st.switch_page(HOME_PAGE, query_params={})
    st.stop()
