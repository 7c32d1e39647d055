"""The checkpoint of a run: all that it needs to go on after its process was ended, as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tlcore.config import RunConfig
from tlcore.dataset import Dataset
from tlcore.documents import write_document
from tlcore.errors import RunError, StorageError, UnreadableError
from tlcore.home import HALF_WRITTEN, write_atomically
from tlcore.storage.full_disk import DiskWait

CHECKPOINT_FILE = "checkpoint.npz"
FORMAT = 1

COST_SHARE = 0.01
"""So much of the time of a training writing is planned to take. Where epochs are short, not each has its checkpoint.

Half of what is allowed, which is two hundredths: on a busy disk some take much longer than those before.
"""
LONGEST_SECONDS = 60.0
"""After so long one is written whatever it costs: a slow disk must not cost more work than a person forgives."""
RETRY_SECONDS = 30.0
"""After a failure, such as a full disk, the next one is tried so much later."""
# What the first one costs is not known. Guessed high: those after it come when they may.
GUESSED_SECONDS = 0.02
GUESSED_BYTES_PER_SECOND = 200e6

Array = NDArray[np.generic]
Ending = Literal["", "complete", "stopped", "diverged"]

_META, _DIGEST = "meta", "digest"
# What reading a file of arrays may meet in one that was cut, or is none.
_DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, NotImplementedError, MemoryError)


class UnfitCheckpointError(RunError):
    """A checkpoint is whole, but belongs to another network."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
    """One phase of a training after an epoch: all on which its next one depends.

    Attributes:
        curve: The values by name at the end of each epoch.
        best_epoch: The best of them, counted from 1; 0 when none is better than what the phase began with.
        best_value: What chose it; smaller is better.
        ending: How the phase ended: with all its epochs, by a wish to stop, by an infinite loss. Empty while it has
            epochs to come.
        generator: State of the NumPy generator that shuffles the records.
        variables: Those of the suffix with the random states of its layers, then those of the optimizer. Empty when the
            phase has ended: no epoch needs them any more.
        best_weights: Those of the best epoch. Empty when it is the last one: its weights are among the variables.
    """

    curve: tuple[Mapping[str, float], ...]
    best_epoch: int
    best_value: float
    ending: Ending = ""
    generator: Mapping[str, Any] = field(default_factory=dict)
    variables: tuple[Array, ...] = ()
    best_weights: tuple[Array, ...] = ()

    @property
    def best_values(self) -> Mapping[str, float]:
        """The values of the best epoch; nothing when there is none."""
        return self.curve[self.best_epoch - 1] if self.best_epoch else {}

    def without_arrays(self) -> TrainingState:
        """Return what is small of it."""
        return replace(self, generator={}, variables=(), best_weights=())


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """A run after an epoch.

    Attributes:
        phases: The phase under way, and before it those that are over, without their arrays.
        seconds: How long all this took.
    """

    phases: tuple[TrainingState, ...]
    seconds: float

    @property
    def present(self) -> TrainingState:
        """The phase under way."""
        return self.phases[-1]

    @property
    def curve(self) -> tuple[Mapping[str, float], ...]:
        """The values at the end of each epoch of all phases."""
        return tuple(values for phase in self.phases for values in phase.curve)

    @property
    def epochs(self) -> int:
        """Epochs that are finished."""
        return len(self.curve)


class Checkpoints:
    """Where a run keeps its checkpoint: read once, at the beginning, and written after epochs.

    Args:
        path: The file; its folder belongs to the run.
        config: Everything that was chosen.
        dataset: Its pictures. A checkpoint of other settings or pictures is not used.
        room: Waits while the disk is full; without it the training goes on without a checkpoint.

    Attributes:
        found: What a run that was ended has left; `None` when there is nothing to go on from.
    """

    def __init__(self, path: Path, config: RunConfig, dataset: Dataset, room: DiskWait | None = None) -> None:
        self._path = path
        self._room = room
        self._fingerprint = _fingerprint(config, dataset)
        self._began = self._written = time.monotonic()
        self._waited_before = self._waited
        self._training_since: float | None = None
        self._spent = 0.0
        self._last_cost: float | None = None
        self._failed: float | None = None
        self._over: tuple[TrainingState, ...] = ()
        self._remove_unfinished()
        self.found: Checkpoint | None = self._read()

    @property
    def seconds_before(self) -> float:
        """How long the work took whose process was ended."""
        return 0.0 if self.found is None else self.found.seconds

    @property
    def _waited(self) -> float:
        """How long the work has waited for room."""
        return 0.0 if self._room is None else self._room.waited_seconds

    def begin_phase(self, over: Sequence[TrainingState]) -> None:
        """Expect the epochs of a phase.

        Args:
            over: The phases before it.
        """
        self._over = tuple(phase.without_arrays() for phase in over)
        if self._training_since is None:
            self._training_since = self._written = time.monotonic()

    def after_epoch(self, num_bytes: int, collect: Callable[[], TrainingState]) -> None:
        """Write a checkpoint, if it is time for one.

        Args:
            num_bytes: How large its arrays are.
            collect: Returns the state of the phase; costs a copy.

        Raises:
            StopRequested: If the person asked to stop while the disk was full.
        """
        if self._room is not None:
            self._room.wait()  # epochs that nothing can be written of would be lost with the process
        now = time.monotonic()
        if self._failed is not None and now - self._failed < RETRY_SECONDS:
            return
        cost = self._last_cost
        if cost is None:
            cost = GUESSED_SECONDS + num_bytes / GUESSED_BYTES_PER_SECOND
        training = now - (self._training_since or now)
        if self._spent + cost <= COST_SHARE * training or now - self._written >= LONGEST_SECONDS:
            state = collect()
            if self._room is None:
                self.write(state)
            else:
                self._room.repeat(lambda: self._write(state))

    def write(self, state: TrainingState) -> None:
        """Write a checkpoint; one that cannot be written is tried again later, as a run is of use without."""
        try:
            self._write(state)
        except StorageError as error:
            if self._failed is None:
                epochs = sum(len(phase.curve) for phase in (*self._over, state))
                say(f"No checkpoint after epoch {epochs}; the training goes on without: {error}")
            self._failed = time.monotonic()

    def _write(self, state: TrainingState) -> None:
        started = time.monotonic()
        worked = started - self._began - (self._waited - self._waited_before)
        checkpoint = Checkpoint((*self._over, state), self.seconds_before + worked)
        write_atomically(self._path, lambda path: _write(path, checkpoint, self._fingerprint))
        self._failed = None
        self._written = time.monotonic()
        self._last_cost = self._written - started
        self._spent += self._last_cost

    def remove(self) -> None:
        """Remove the checkpoint: the run has its model, or begins anew."""
        self.found = None
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _remove_unfinished(self) -> None:
        """Remove what a process was writing when it was ended; nobody else writes into this folder."""
        for path in self._path.parent.glob(f"{HALF_WRITTEN}*"):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _read(self) -> Checkpoint | None:
        if not self._path.exists():
            return None
        try:
            return _read(self._path, self._fingerprint)
        except UnreadableError as error:
            say(f"The checkpoint cannot be used: {error} The training begins anew.")
            return None


def say(line: str) -> None:
    """Write a line into the log of the worker, where the disk has room for it."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _fingerprint(config: RunConfig, dataset: Dataset) -> str:
    """Return what must be the same for a training to go on: settings, pictures, and what calculates."""
    digest = hashlib.blake2b(digest_size=16)
    for text in (write_document(config), write_document(dataset), version("keras")):
        digest.update(hashlib.blake2b(text.encode()).digest())
    return digest.hexdigest()


def _write(path: Path, checkpoint: Checkpoint, fingerprint: str) -> None:
    phases = [
        {
            "curve": [dict(values) for values in phase.curve],
            "best_epoch": phase.best_epoch,
            "best_value": phase.best_value,
            "ending": phase.ending,
            "generator": phase.generator,
        }
        for phase in checkpoint.phases
    ]
    meta = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "seconds": checkpoint.seconds,
        "phases": phases,
        "variables": len(checkpoint.present.variables),
        "best_weights": len(checkpoint.present.best_weights),
    }
    # Python's own JSON: it holds the whole numbers of 128 bits that a NumPy generator has.
    described = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    arrays: dict[str, Array] = {_META: described}
    arrays |= {f"variable_{number}": array for number, array in enumerate(checkpoint.present.variables)}
    arrays |= {f"best_{number}": array for number, array in enumerate(checkpoint.present.best_weights)}
    with path.open("wb") as file:
        np.savez(file, **{**arrays, _DIGEST: _digest(arrays)})  # type: ignore[arg-type]


def _read(path: Path, fingerprint: str) -> Checkpoint:
    """Read a checkpoint and check all of it.

    Raises:
        UnreadableError: If it is damaged, or not of this run.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            # Ours are not compressed: one that is could fill the memory.
            if sum(member.file_size for member in packed.infolist()) > path.stat().st_size:
                raise ValueError("compressed")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if not np.array_equal(arrays.pop(_DIGEST), _digest(arrays)):
            raise ValueError("digest")
        meta = json.loads(arrays[_META].tobytes())
    except _DAMAGE as error:
        raise UnreadableError("it is damaged.") from error
    if meta["format"] != FORMAT or meta["fingerprint"] != fingerprint:
        raise UnreadableError("it belongs to other settings, pictures or programs.")
    *over, present = (
        TrainingState(
            curve=tuple(phase["curve"]),
            best_epoch=phase["best_epoch"],
            best_value=phase["best_value"],
            ending=phase["ending"],
            generator=phase["generator"],
        )
        for phase in meta["phases"]
    )
    variables = tuple(arrays[f"variable_{number}"] for number in range(meta["variables"]))
    best_weights = tuple(arrays[f"best_{number}"] for number in range(meta["best_weights"]))
    present = replace(present, variables=variables, best_weights=best_weights)
    return Checkpoint((*over, present), meta["seconds"])


def _digest(arrays: Mapping[str, Array]) -> NDArray[np.uint8]:
    """Return a hash of arrays with their names, kinds and shapes."""
    digest = hashlib.blake2b(digest_size=32)
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).tobytes() if array.ndim == 0 else np.ascontiguousarray(array).data)
    return np.frombuffer(digest.digest(), np.uint8)
