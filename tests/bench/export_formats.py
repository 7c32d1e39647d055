"""What each format loses and gains: certificates of EfficientNet-Lite0 on two sets of photographs, split by split."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import stats

from tests.bench.accuracy import read
from tests.bench.figures import Line, figure
from tlcore.config import RunConfig
from tlcore.dataset import Dataset
from tlcore.export.certifying import ask, read_pictures
from tlcore.export.converting import convert
from tlcore.export.formats import FORMATS
from tlcore.export.graph import build_square
from tlcore.export.making import asked_items, make_export, processor_name
from tlcore.export.readers import open_format
from tlcore.export.source import ExportSource, part_of_run
from tlcore.home import DataRoot
from tlcore.images.resizing import resize_image
from tlcore.intake.splitting import resplit
from tlcore.library import train
from tlcore.progress import TerminalProgress
from tlcore.results.prediction import answering_threads
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.requests import FormatReport

SETS = ("cats_dogs", "flowers17")
SPLITS = range(5)
MOST_LOST = 0.01
LEAST_FASTER = 1.5
TIMED = 200
# The mean over few splits scatters more than the normal distribution says: Student's t.
CONFIDENCE = 0.95


def measure() -> Iterator[Line]:
    """Yield each figure."""
    for name in SETS:
        yield from of_set(name)


def of_set(name: str) -> Iterator[Line]:
    """Train on several splits, write every format, and compare what the files answer to the same test pictures."""
    photos, home = read(name), DataRoot.configured()
    reports: dict[str, list[FormatReport]] = {format_name: [] for format_name in FORMATS}
    faster = []
    for seed in SPLITS:
        dataset = resplit(photos, seed=seed, keep_given=False)
        config = RunConfig()
        model = train(dataset, config)
        source = ExportSource("Run 1", (part_of_run(model.folder, config),), dataset, ModelSettings())
        with tempfile.TemporaryDirectory() as folder:
            progress = TerminalProgress()
            result = make_export(source, tuple(FORMATS), Path(folder), progress, home)
            progress.close()
            for report in result.reports:
                reports[report.format].append(report)
            faster.append(float_and_integer_milliseconds(source, dataset, Path(folder), home))
    how = f"{name}, EfficientNet-Lite0, {len(SPLITS)} splits, {processor_name()}"
    for format_name, made in reports.items():
        problems = sorted({report.problem for report in made if report.problem})
        if problems:
            yield figure(f"{format_name}: splits without a file", len(problems), how, at_most=0, more={"why": problems})
            continue
        yield figure(
            f"{format_name}: share of test pictures answered as by the original",
            sum(report.agreed for report in made) / sum(report.total for report in made),
            how,
            more={
                "largest difference": max(report.largest_difference for report in made),
                "milliseconds": round(float(np.median([report.milliseconds for report in made])), 2),
                "megabytes": round(made[0].size / 1e6, 2),
                "warnings": sum(bool(report.warning) for report in made),
            },
        )
    pairs = zip(reports["litert"], reports["litert-int8"], strict=True)
    lost = [one.correct / one.total - other.correct / other.total for one, other in pairs]
    low, high = interval(lost)
    yield figure(
        "8-bit integers: accuracy lost, as a fraction",
        float(np.mean(lost)),
        how,
        at_most=MOST_LOST,
        more={"95 % interval": [round(low, 4), round(high, 4)], "splits": [round(one, 4) for one in lost]},
    )
    yield figure(
        "8-bit integers: times as fast as float32 on the same square",
        float(np.median([one / other for one, other in faster])),
        f"{how}, {answering_threads()} threads, median of {TIMED} pictures",
        at_least=LEAST_FASTER,
        more={"milliseconds": [[round(one, 2), round(other, 2)] for one, other in faster]},
    )


def float_and_integer_milliseconds(
    source: ExportSource, dataset: Dataset, folder: Path, home: DataRoot
) -> tuple[float, float]:
    """Time both on pictures that are square already; the float one has no resizing inside, like the other."""
    assert source.square is not None
    keys = tuple(item.image for item in asked_items(dataset)[:TIMED])
    squares = [resize_image(one, *source.square) for one in read_pictures(keys, home).values()]
    plain = folder / "square"
    plain.mkdir()
    convert(build_square(source, home), "litert", plain)
    exact = ask(open_format(plain, "litert", answering_threads()), squares)
    rounded = ask(open_format(folder, "litert-int8", answering_threads()), squares)
    return exact.milliseconds, rounded.milliseconds


def interval(values: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of a mean."""
    error = float(stats.sem(values))
    reach = error * float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return float(np.mean(values)) - reach, float(np.mean(values)) + reach
