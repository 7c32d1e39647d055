"""Figure of the map of the pictures: a point for each, in its class's colour and shape, with a ring around mistakes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

from pages.components.amounts import chance
from pages.components.colors import INK, class_color
from pages.components.figures.live_plot import Figure
from pages.components.text import count, first_of, plain, plot_label
from tlcore.dataset import ClassLabel

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "pentagon")
"""Shapes say the same as colours, and tell apart classes whose colour is the same: the numbers of both share no
factor, so it takes sixty classes until a pair comes again."""

SHAPED_POINTS = 2000
"""Of more points circles alone are drawn, twice as fast without a graphics card, where each class has its own colour:
so close together shapes are hardly seen. The name of a class stands under the pointer and hides or shows its points."""

SIZE, RING_SIZE, RING_WIDTH = 7, 11, 2.5
MUTED = "#808690"
"""Of the map's buttons; seen on white and on the dark background."""
MAX_NAME_LENGTH = 24
NAMED_CLASSES = 10


@dataclass(frozen=True, slots=True)
class MapPoint:
    """A picture on the map.

    Attributes:
        number: Names it in the browser.
        image: Its key.
        class_id: Its class today.
        place: Where it lies, across and up.
        said: The name of the class that the model takes it for, where that is wrong.
        probability: How sure the model is of that.
    """

    number: int
    image: str
    class_id: str
    place: tuple[float, float]
    said: str | None = None
    probability: float = 0.0

    @property
    def words(self) -> str:
        """What the model said, where it is wrong."""
        return "" if self.said is None else f"model said {plain(self.said, MAX_NAME_LENGTH)} {chance(self.probability)}"


def map_figure(
    points: Sequence[MapPoint],
    classes: Sequence[ClassLabel],
    *,
    zoom: Hashable,
    selection: Hashable,
    selected: Collection[int] = (),
    dark: bool = False,
) -> Figure:
    """Draw the map for `live_plot`; a class can be hidden with its name, and points drawn around with the pointer.

    Args:
        points: The pictures.
        classes: Of the data set; each has a trace, so that what the viewer hid stays hidden.
        zoom: As long as it is the same, the zoom and the hidden classes stay.
        selection: As long as it is the same, the line that was drawn around points stays.
        selected: The numbers of the points that are marked; all look the same when there are none.
        dark: Whether the page is dark.
    """
    of_class: defaultdict[str, list[MapPoint]] = defaultdict(list)
    for point in points:
        of_class[point.class_id].append(point)
    shaped = len(points) <= SHAPED_POINTS or len({class_color(label.color) for label in classes}) < len(classes)
    ink = INK["dark" if dark else "light"]
    hidden_axis = {"visible": False, "zeroline": False}
    return {
        "data": [_trace(label, of_class[label.id], selected, ink, shaped=shaped) for label in classes],
        "layout": {
            "uirevision": str(zoom),
            "selectionrevision": str(selection),
            "dragmode": "lasso",
            "hovermode": "closest",
            "xaxis": hidden_axis,
            # Far is far, across as up.
            "yaxis": {**hidden_axis, "scaleanchor": "x"},
            "margin": {"l": 4, "r": 4, "t": 36, "b": 4},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": MUTED, "activecolor": ink},
            # Many classes scroll in it.
            "legend": {"orientation": "h", "x": 0, "y": 0, "yanchor": "top", "maxheight": 0.25, "font": {"color": ink}},
            "showlegend": True,
        },
    }


def _trace(
    label: ClassLabel, points: Sequence[MapPoint], selected: Collection[int], ink: str, *, shaped: bool
) -> Figure:
    # Mistakes last: they lie above the others, and the legend shows the look of the first.
    points = sorted(points, key=lambda point: point.said is not None)
    wrong = [point.said is not None for point in points]
    return {
        "type": "scattergl",
        "mode": "markers",
        "uid": label.id,
        "name": plot_label(label.name, MAX_NAME_LENGTH),
        "meta": plain(label.name),
        "x": [point.place[0] for point in points],
        "y": [point.place[1] for point in points],
        "customdata": [point.number for point in points],
        "text": [point.words for point in points],
        "hoverinfo": "none",  # the picture and its words are shown by the chart's own panel
        "marker": {
            "color": class_color(label.color),
            "symbol": SYMBOLS[label.color % len(SYMBOLS)] if shaped else SYMBOLS[0],
            "size": [RING_SIZE if ring else SIZE for ring in wrong] if any(wrong) else SIZE,
            "line": {
                "color": ink,
                "width": [RING_WIDTH if ring else 0 for ring in wrong] if any(wrong) else 0,
            },
        },
        "unselected": {"marker": {"opacity": 0.15}},
        **({"selectedpoints": [n for n, point in enumerate(points) if point.number in selected]} if selected else {}),
    }


def map_words(points: Sequence[MapPoint], classes: Sequence[ClassLabel]) -> str:
    """Say what the map shows, for people who cannot see it."""
    sizes = Counter(point.class_id for point in points)
    named = [f"{plain(label.name, MAX_NAME_LENGTH)} {sizes[label.id]:,}" for label in classes if sizes[label.id]]
    wrong = sum(point.said is not None for point in points)
    return (
        f"{count(len(points), 'picture')} as points, those that are alike near each other: "
        f"{first_of(named, NAMED_CLASSES)}. {wrong:,} with a ring: the model is wrong there. "
        "The choice of class and of mistakes below shows the same pictures without the map."
    )
