"""The files of ready data sets: fetching what is missing or damaged, and what damage looks like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tlcore.damage import DAMAGE_ERRORS
from tlcore.downloading import PublishedFile, fetch
from tlcore.errors import ArchiveError, DatasetError
from tlcore.progress import Progress

INSTEAD = "take a data set that is ready without a network"


def fetch_files(files: Sequence[PublishedFile], title: str, progress: Progress) -> tuple[Path, ...]:
    """Return the sound copies of a data set's files; what is missing or damaged is downloaded.

    Args:
        files: What the data set consists of.
        title: What messages call the data set.
        progress: Hears of the check and, in megabytes, of the download; may raise `StopRequested`, after which
            the next try goes on where this one ended.

    Raises:
        DownloadError: If there is no network, or what came is not the published file.
        StorageError: If the cache cannot be written.
    """
    paths = []
    before, total = 0, sum(file.size_bytes for file in files)
    for file in files:

        def show(done: int, _total: int, before: int = before) -> None:
            progress.phase("downloading", (before + done) // 10**6, max(1, total // 10**6), title)

        progress.phase("checking_files", subject=title)
        paths.append(fetch(file, title, instead=INSTEAD, progress=show))
        before += file.size_bytes
    return tuple(paths)


@contextmanager
def damage_in_words(path: Path) -> Iterator[None]:
    """Turn what the libraries raise over a damaged file into a `DatasetError`."""
    try:
        yield
    except (ArchiveError, *DAMAGE_ERRORS) as error:
        said = str(error).replace(str(path), path.name).rstrip(".")
        raise DatasetError(
            f"The file {path.name} is not what it should be: {said}. "
            "Delete it and take the data set again; then it is downloaded anew."
        ) from error
