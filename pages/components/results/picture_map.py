"""The map of the pictures on Understand: what lies where, and edits of what a person draws around."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import streamlit as st

from pages.components.amounts import percent
from pages.components.colors import is_dark
from pages.components.data.edits import save_edit, undo_button
from pages.components.errors import errors_shown, show_error
from pages.components.figures.live_plot import live_plot
from pages.components.figures.picture_map import MapPoint, map_figure, map_words
from pages.components.forms import GUEST_CANNOT, work_state
from pages.components.gallery import gallery
from pages.components.job_view import watch_job
from pages.components.results.calibration_view import as_answered
from pages.components.results.exam import opened_models
from pages.components.results.trained_models import Model, answers_of, short_name, validation_answers
from pages.components.state import Context
from pages.components.text import count, first_of, label, plain
from pages.server.thumbnails import thumbnail_address
from tlcore.backbones.registry import get_backbone
from tlcore.config import ModelConfig
from tlcore.dataset import Dataset, Item
from tlcore.doctor.findings import Suspect, relabel, remove
from tlcore.errors import RunError
from tlcore.home import DataRoot
from tlcore.jobs.control import start_job
from tlcore.storage.ensembles import Ensemble
from tlcore.storage.jobs import JobStatus, last_job
from tlcore.storage.requests import MapRequest
from tlcore.storage.simple_heads import TrainedSimpleHead

if TYPE_CHECKING:
    from tlcore.mapping.maps import PictureMap
    from tlcore.results.evaluation import Evaluation

MAP_HEIGHT = 560
NAMED_CLASSES = 6

Arrangement = Literal["pca", "tsne"]
ARRANGEMENTS: dict[Arrangement, str] = {"pca": "Widest spread (PCA)", "tsne": "Neighbours (t-SNE)"}

Answers = Mapping[str, tuple[str, float]]
"""By the key of a picture: the id of the class that the model takes it for, and how sure it is."""


def draw_map(context: Context, model: Model) -> None:
    """Draw the map of the pictures that a model learned from and was asked about, once somebody opens it."""
    with st.expander("Map of the pictures", icon=":material/scatter_plot:", key="map", on_change="rerun") as panel:
        if panel.open:
            with errors_shown():
                _draw(context, model)


def _draw(context: Context, model: Model) -> None:
    from tlcore.mapping.maps import backbone_of_map, map_key

    learned = context.dataset_of(context.project, model.version)
    backbone = backbone_of_map(_model_config(context, model))
    items, numbers, total = _sample(context.project.id, model.version, context.home, learned)
    if not items:
        st.caption("There are no pictures on this map.")
        return
    key = map_key(items, backbone)
    kept, found = _find_maps(key, context.home, items, backbone)
    job = last_job(context.engine, context.project.id, "map", _job_key(context, key))
    request = MapRequest(model.version, backbone)
    backbone_title = get_backbone(backbone.backbone).title
    if found is None:
        st.markdown(
            f"A map needs what {backbone_title} sees in each picture, its **features**. For some of these pictures "
            "they were not computed yet, or are no longer kept."
        )
        _draw_job(context, job, request, key, "Compute them and draw the map")
        return
    arrangement: Arrangement = st.segmented_control(
        "Arranged by",
        list(ARRANGEMENTS),
        format_func=lambda name: ARRANGEMENTS[name],
        default="pca" if kept is None else "tsne",
        required=True,
        key=f"map-arranged-{key}",
        help="**PCA** (principal component analysis) looks along the two directions in which the pictures differ most, "
        "and is there at once. **t-SNE** (t-distributed stochastic neighbour embedding) moves the points until those "
        "that are alike are neighbours, which takes a job.",
    )
    if arrangement == "tsne" and kept is None:
        _draw_job(context, job, request, key, "Arrange by t-SNE")
    places = kept.tsne if arrangement == "tsne" and kept is not None else found.pca
    st.markdown(
        f"Each point is a picture. The nearer two points, the more alike {backbone_title} finds them. "
        f"{_meaning('tsne' if places is not found.pca else 'pca', found)}"
    )
    if len(items) < total:
        st.markdown(f"A sample of {len(items):,} of {total:,} pictures, in which every class has its share.")
    answers = _answers(context, model, learned)
    if answers:
        st.caption(
            f"A ring: {short_name(model)} is wrong about this picture. It was asked about {len(answers):,} of "
            f"{total:,}, not about those that it learned from."
        )
    points = _points(context.dataset, items, numbers, places, answers)
    _draw_points(context, model, points, f"{key}-{arrangement}")


def _model_config(context: Context, model: Model) -> ModelConfig:
    """Return the backbone of a model, that of the newest run of a group."""
    if isinstance(model, TrainedSimpleHead):
        return model.model
    if not isinstance(model, Ensemble):
        return model.config.model
    members = (run for run in context.runs if run.id in model.config.run_ids)
    return next((run.config.model for run in members), context.project.config.model)


def _job_key(context: Context, key: str) -> str:
    # With the project: whoever stops a map must not stop that of somebody else.
    return f"{context.project.id} {key}"


@st.cache_resource(max_entries=24, show_spinner=False)
def _sample(
    project_id: str, version: int, home: DataRoot, _dataset: Dataset
) -> tuple[tuple[Item, ...], dict[str, int], int]:
    """Return the pictures on the map, the place of each picture in the data set, and how many there are in all."""
    from tlcore.mapping.sample import map_sample

    numbers: dict[str, int] = {}
    for number, item in enumerate(_dataset.items):
        numbers.setdefault(item.image, number)
    return map_sample(_dataset), numbers, len(numbers)


def _find_maps(
    key: str, home: DataRoot, items: Sequence[Item], backbone: ModelConfig
) -> tuple[PictureMap | None, PictureMap | None]:
    """Return the whole map, if it was made, and the one to show at once, if features are there."""
    kept = first = None
    with suppress(LookupError):  # which is not kept in memory: it may be made any moment
        kept = _kept_map(key, home, items, backbone)
    if kept is None:
        with suppress(LookupError), st.spinner("Arranging the pictures"):
            first = _first_map(key, home, items, backbone)
    return kept, kept or first


@st.cache_resource(max_entries=24, show_spinner=False)
def _kept_map(key: str, home: DataRoot, _items: Sequence[Item], _backbone: ModelConfig) -> PictureMap:
    from tlcore.mapping.maps import read_map

    found = read_map(_items, _backbone, home)
    if found is None:
        raise LookupError(key)
    return found


@st.cache_resource(max_entries=24, show_spinner=False)
def _first_map(key: str, home: DataRoot, _items: Sequence[Item], _backbone: ModelConfig) -> PictureMap:
    from tlcore.mapping.maps import map_at_once

    found = map_at_once(_items, _backbone, home)
    if found is None:
        raise LookupError(key)
    return found


def _draw_job(context: Context, job: JobStatus | None, request: MapRequest, key: str, name: str) -> None:
    """Draw the button that has the map made, or how far it is."""
    if job is not None and job.is_active:
        watch_job(context, job.id)
        return
    if job is not None and job.state == "failed":
        show_error(job.message)
    if context.is_guest:
        st.caption(GUEST_CANNOT)
        return
    st.caption("This can take minutes. You may go on meanwhile; the map is kept.")
    if st.button(name, key="map-make", icon=":material/scatter_plot:", **work_state(context, "map")):
        with errors_shown():
            start_job(context.engine, context.home, "map", context.project.id, request, key=_job_key(context, key))
            st.rerun()


def _meaning(arrangement: Arrangement, found: PictureMap) -> str:
    if arrangement == "pca":
        return (
            f"These two directions hold {percent(found.explained)} of all differences (the **variance**), so what lies "
            "together here may still differ in others."
        )
    return (
        "t-SNE keeps neighbours together. How far groups lie apart, and how large they are, means nothing; the two "
        "axes mean nothing either."
    )


def _answers(context: Context, model: Model, learned: Dataset) -> dict[str, tuple[str, float]]:
    """Return what a model answered to the validation pictures, and to the test pictures once its exam is open."""
    found: list[Evaluation] = []
    with suppress(RunError):  # missing or damaged, which is said above
        validation = validation_answers(context, model)
        found += [] if validation is None else [validation]
    with suppress(RunError):
        if model.id in opened_models(context):
            found.append(answers_of(context, model, "test"))
    ids = [one.id for one in learned.classes]
    return {
        image: (ids[said], float(probability))
        for evaluation in (as_answered(context, model, one) for one in found)
        if len(evaluation.class_names) == len(ids)
        for image, said, probability in zip(
            evaluation.images, evaluation.y_pred.tolist(), evaluation.probabilities.max(axis=1, initial=0), strict=True
        )
    }


def _points(
    dataset: Dataset,
    items: Sequence[Item],
    numbers: Mapping[str, int],
    places: Sequence[tuple[float, float]],
    answers: Answers,
) -> list[MapPoint]:
    """Return the pictures that are still there, in the classes that they have today, which decide what is wrong."""
    classes: dict[str, list[str]] = {}
    for item in dataset.items:
        classes.setdefault(item.image, []).append(item.class_id)
    names = {one.id: one.name for one in dataset.classes}
    points = []
    for item, place in zip(items, places, strict=True):
        held = classes.get(item.image)
        if held is None:
            continue
        class_id = item.class_id if item.class_id in held else held[0]
        said, probability = answers.get(item.image, (class_id, 0.0))
        wrong = names.get(said, "a class that is gone") if said not in held else None
        points.append(MapPoint(numbers[item.image], item.image, class_id, place, wrong, probability))
    return points


@st.fragment
def _draw_points(context: Context, model: Model, points: Sequence[MapPoint], key: str) -> None:
    """Draw the map, and the pictures that are drawn around or chosen by their class."""
    dataset, state_key = context.dataset, f"map-selected-{model.id}"
    plot_key = f"map-plot-{context.project.id}".replace("__", "~")  # which Streamlit keeps for itself
    numbers = {point.number for point in points}
    clears, version, selected = st.session_state.get(state_key, (0, context.version, frozenset[int]()))
    if version != context.version:  # an edit is done: what was drawn around is another picture now
        clears, selected = clears + 1, frozenset[int]()

    def take_selected() -> None:
        sent = st.session_state[plot_key].selected
        chosen = frozenset(one for one in sent if isinstance(one, int)) if isinstance(sent, list) else frozenset[int]()
        st.session_state[state_key] = (clears, context.version, chosen & numbers)

    live_plot(
        map_figure(
            points,
            dataset.classes,
            zoom=key,
            selection=(key, context.version, clears),
            selected=selected,
            dark=is_dark(),
        ),
        key=plot_key,
        height=MAP_HEIGHT,
        description=map_words(points, dataset.classes),
        on_select=take_selected,
        pictures=thumbnail_address(context.project.id, model.version),
    )
    with st.container(horizontal=True, vertical_alignment="bottom", key="map-choice"):
        class_id = st.selectbox(
            "Which pictures below?",
            [None, *(one.id for one in dataset.classes)],
            format_func=lambda one: "Of all classes" if one is None else plain(dataset.find_class(one).name, 40),
            key=f"map-class-{model.id}",
            width=280,
        )
        only_wrong = st.toggle("Mistakes only", key=f"map-wrong-{model.id}")
        if selected and st.button("Clear the selection", key="map-clear", icon=":material/deselect:", type="tertiary"):
            st.session_state[state_key] = (clears + 1, context.version, frozenset[int]())
            st.rerun(scope="fragment")
    if context.version > model.version:
        undo_button(context, key="map-undo")
    if not selected and class_id is None and not only_wrong:
        st.caption(
            "Draw around points with the pointer (on a touch screen tap the lasso above the map first), or choose a "
            "class here: the pictures appear below. A tap on a class's name hides it, a double tap hides the others."
        )
        return
    chosen = [
        point
        for point in points
        if (not selected or point.number in selected)
        and (class_id is None or point.class_id == class_id)
        and (not only_wrong or point.said is not None)
    ]
    _draw_chosen(context, dataset, chosen, f"map-pictures-{context.version}-{model.id}")


def _draw_chosen(context: Context, dataset: Dataset, chosen: Sequence[MapPoint], key: str) -> None:
    """Draw pictures of the map, and what can be done with them."""
    if not chosen:
        st.caption("None of the pictures is like that.")
        return
    names = {one.id: one.name for one in dataset.classes}
    sizes = Counter(point.class_id for point in chosen).most_common()
    parts = first_of([f"{plain(names[one], 40)} {number:,}" for one, number in sizes], NAMED_CLASSES)
    st.markdown(f"**{count(len(chosen), 'picture')}**: {label(parts)}")
    places = {(point.image, point.class_id) for point in chosen}
    items = [item for item in dataset.items if (item.image, item.class_id) in places]
    said = {point.image: point.said for point in chosen}
    ticked = gallery(
        context,
        items,
        key=key,
        caption=lambda item: names[item.class_id] if said[item.image] is None else f"said {said[item.image]}",
        can_choose=not context.is_guest,
    )
    if context.is_guest:
        return
    taken = ticked or items
    suspects = [Suspect(item.image, item.class_id) for item in taken]
    number = count(len(taken), "picture")
    st.caption(f"Tick some, or take all: these buttons work on the {number}{' ticked' if ticked else ''}.")
    with st.container(horizontal=True, vertical_alignment="bottom", key="map-actions"):
        to_class = st.selectbox(
            "Move to class",
            list(names),
            index=None,
            format_func=lambda one: plain(names.get(one, ""), 40),
            placeholder="Choose a class",
            key="map-to",
            width=240,
        )
        if st.button("Move them", key="map-move", icon=":material/label:", disabled=to_class is None) and to_class:
            moved = [Suspect(one.image, one.class_id, to_class) for one in suspects]
            save_edit(context, relabel(dataset, moved), f"moved {number} to {names[to_class]}")
        if st.button("Remove them", key="map-remove", icon=":material/delete:"):
            save_edit(context, remove(dataset, suspects), f"removed {number}")
