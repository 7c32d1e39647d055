"""Whether look-alikes stand together in the confusion matrix, and what a large matrix costs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import numpy as np

from pages.components.figures.confusion import confusion_figure
from tests.bench.figures import Line, figure
from tests.test_confusion import planted, runs_of_groups
from tlcore.dataset import MAX_CLASSES
from tlcore.results.confusion import alike_order

SEEDS = range(30)
SHAPES = ((6, 2), (10, 5), (37, 4), (100, 10), (MAX_CLASSES, 10))
"""Classes, and classes of one group of look-alikes."""

LEAST_FOUND = 0.9
MAX_SECONDS = 0.2
MAX_KILOBYTES = 400
USUAL_CLASSES = 100
"""Up to here the size of the figure is asked for."""


def measure() -> Iterator[Line]:
    """Yield each figure."""
    for num_classes, group_size in SHAPES:
        found = groups = 0
        seconds = []
        for seed in SEEDS:
            matrix, group_of = planted(num_classes, group_size, seed)
            started = time.perf_counter()
            order = alike_order(matrix)
            seconds.append(time.perf_counter() - started)
            runs = runs_of_groups(order, group_of)
            found += sum(runs.count(group) == 1 for group in set(runs))
            groups += len(set(runs))
        how = f"{num_classes} classes in groups of {group_size}, 5 % of the other cells not empty, {len(SEEDS)} seeds"
        yield figure("planted groups of look-alikes that stand together", found / groups, how, at_least=LEAST_FOUND)
        yield figure("seconds to order the classes, median", float(np.median(seconds)), how, at_most=MAX_SECONDS)
        drawn = confusion_figure(matrix, [f"class {index}" for index in range(num_classes)], order)
        kilobytes = len(json.dumps(drawn)) / 1000
        most = MAX_KILOBYTES if num_classes <= USUAL_CLASSES else None
        yield figure("kB of the figure before compression", kilobytes, how, at_most=most)
