"""The camera in the browser, over Streamlit's own connection: what it sends, and what it is told."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import streamlit as st

from pages.components.amounts import chance
from pages.components.colors import class_color
from pages.components.styles import styles_of
from pages.components.text import plain
from tlcore.dataset import MAX_CLASSES, Dataset
from tlcore.intake.camera import MAX_AT_ONCE

if TYPE_CHECKING:
    from tlcore.results.prediction import Predictor

PER_SECOND = 6
"""Pictures that the browser records in a second."""
MAX_BARS = 6
"""Classes that are shown with their probability; of more, the most probable ones."""

Kind = Literal["pictures", "question", "rename"]

_FILES = Path(__file__).parent
_component = st.components.v2.component(
    "transfer_lab_camera",
    html=(_FILES / "camera.html").read_text(encoding="utf-8"),
    css=styles_of(_FILES / "camera.css"),
    js=(_FILES / "camera.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True, slots=True)
class Message:
    """What the browser sent.

    Attributes:
        number: Comes back as `answered`; until then the browser sends nothing more.
        kind: Pictures of a session, one picture as a question, or a new name for a class.
        pictures: Bytes that should be JPEG files.
        session: Which session the pictures belong to.
        class_name: The class that they are for, or that is renamed.
        is_last: Whether the session is over.
        new_name: The new name of the class.
    """

    number: int
    kind: Kind
    pictures: tuple[bytes, ...] = ()
    session: str = ""
    class_name: str = ""
    is_last: bool = False
    new_name: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What the camera shows.

    Attributes:
        answered: The number of the last message.
        asks: Whether the browser asks about what it sees.
        bars: The last answer.
        note: Who gave it, or why there is none.
        unknown: That the model does not know, and its best guess; empty when it answers.
        said: What became of the last session.
        hint: What to do next.
        heat: The address of the heat map that lies on top; empty for none.
        heat_words: What it shows.
        heat_at: When it was made, in seconds of the monotonic clock.
    """

    answered: int = 0
    asks: bool = False
    bars: tuple[dict[str, str | float], ...] = ()
    note: str = ""
    unknown: str = ""
    said: str = ""
    hint: str = ""
    heat: str = ""
    heat_words: str = ""
    heat_at: float = 0.0


def draw_camera(
    key: str, view: View, take_message: Callable[[Message], None], *, dataset: Dataset | None = None
) -> None:
    """Draw the camera, or tell the one that was drawn under this key what it shows now; call it in a fragment.

    Args:
        key: Tells this camera from others.
        view: What it shows.
        take_message: Called with each message before the fragment runs again.
        dataset: Into whose classes it records; it only asks when not given.
    """
    counts = {} if dataset is None else dataset.counts()
    labels = () if dataset is None else dataset.classes
    classes = [
        {
            "name": label.name,
            "color": class_color(label.color),
            "pictures": sum(n for (class_id, _), n in counts.items() if class_id == label.id),
        }
        for label in labels
    ]
    widget = key.replace("_", "~")  # an id may hold two of them in a row, which Streamlit keeps for itself
    data = {
        "key": key,
        "records": dataset is not None,
        "classes": classes,
        "max_classes": MAX_CLASSES,
        "per_second": PER_SECOND,
        "at_once": MAX_AT_ONCE,
        "answered": view.answered,
        "asks": view.asks,
        "bars": list(view.bars),
        "note": view.note,
        "unknown": view.unknown,
        "said": view.said,
        "hint": view.hint,
        "heat": view.heat,
        "heat_words": view.heat_words,
    }

    def pass_on() -> None:
        # Nothing is there when the page was left while the message was under way.
        message = read_message(st.session_state.get(widget, {}).get("message"))
        if message is not None:
            take_message(message)

    _component(key=widget, data=data, on_message_change=pass_on)


def read_message(sent: Any) -> Message | None:
    """Return what the browser sent; `None` if our script cannot have sent it."""
    if not isinstance(sent, dict) or sent.get("kind") not in get_args(Kind):
        return None
    pictures = sent.get("pictures", [])
    texts = [sent.get(name, "") for name in ("session", "class_name", "new_name")]
    if not isinstance(pictures, list) or not all(isinstance(text, str) for text in [*pictures, *texts]):
        return None
    number = sent.get("number")
    if not isinstance(number, int):
        return None
    try:
        decoded = tuple(base64.b64decode(picture, validate=True) for picture in pictures[:MAX_AT_ONCE])
    except (binascii.Error, ValueError):
        return None
    session, class_name, new_name = texts
    return Message(number, sent["kind"], decoded, session, class_name, sent.get("is_last") is True, new_name)


def answer_bars(predictor: Predictor, probabilities: Sequence[float]) -> tuple[dict[str, str | float], ...]:
    """Return the bars of an answer: all classes in their order, or of many the most probable ones, the first first."""
    order = list(range(len(probabilities)))
    if len(order) > MAX_BARS:
        order = sorted(order, key=lambda index: -probabilities[index])[:MAX_BARS]
    return tuple(
        {
            "name": plain(predictor.class_names[index]),
            "color": class_color(predictor.class_colors[index]),
            "value": float(probabilities[index]),
            "words": chance(probabilities[index]),
        }
        for index in order
    )
