"""Pictures brought and put into a data set in one go, read as the likeliest way where that is clear."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tlcore.dataset import Dataset
from tlcore.intake.collection import ImportReport, PictureStore, gather
from tlcore.intake.meaning.tree import choose
from tlcore.intake.sources import Source


def collect(
    sources: Sequence[Source],
    dataset: Dataset,
    image_store: PictureStore,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImportReport:
    """Gather what was brought, and put it into a data set."""
    gathered = gather(sources, dataset, image_store, on_progress=on_progress)
    return gathered.into(dataset, reading=choose(gathered.brought.readings))
