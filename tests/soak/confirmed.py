"""What a person was told is stored, and whether it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import sqlalchemy as sa

from tlcore.errors import TransferLabError
from tlcore.home import DataRoot
from tlcore.storage.datasets import get_version, load_dataset
from tlcore.storage.images import ImageStore, image_key
from tlcore.storage.leftovers import UNDO_STEPS
from tlcore.storage.projects import get_project

Kind = Literal["name", "settings", "version", "picture"]
OWNER = "ann"


class Confirmed:
    """The lines of `tests.soak.person`, and the project that they are about."""

    def __init__(self, engine: sa.Engine, home: DataRoot, project_id: str, path: Path) -> None:
        self._engine = engine
        self._home = home
        self._project_id = project_id
        self._path = path

    def read(self) -> list[tuple[str, int, str]]:
        """Return what was confirmed so far: its kind, its step, and its number or key."""
        whole, _, _ = self._path.read_text("ascii").rpartition("\n")
        parts = (line.split(" ") for line in whole.splitlines())
        return [(kind, int(step), key) for kind, step, key in parts]

    def last_step(self) -> int:
        """Return the last step of which anything was confirmed."""
        return max((step for _, step, _ in self.read()), default=0)

    def lost(self) -> list[str]:
        """Return what was confirmed and is not there, in words."""
        # Read before the project is: what comes meanwhile only makes it newer.
        said = self.read()
        last = {kind: max((line[1:] for line in said if line[0] == kind), default=None) for kind in get_args(Kind)}
        project = get_project(self._engine, self._project_id, OWNER)
        lost: list[str] = []
        if last["name"] and int(project.name) < last["name"][0]:
            lost.append(f"the name of step {last['name'][0]}: it is {project.name}")
        if last["settings"] and project.config.training.seed < last["settings"][0]:
            lost.append(f"the settings of step {last['settings'][0]}: they are of {project.config.training.seed}")
        if last["version"] and (project.version or 0) < int(last["version"][1]):
            lost.append(f"version {last['version'][1]}: it is {project.version}")
        return lost

    def lost_at_last(self) -> list[str]:
        """Look at every version and every picture too, and at whether each is what it was.

        A version that no undo reaches any more may be gone, but only whole: the list and its row.
        """
        lost, store = self.lost(), ImageStore(self._home)
        oldest_undo = (get_project(self._engine, self._project_id, OWNER).version or 0) - UNDO_STEPS
        for kind, step, key in self.read():
            try:
                if kind == "version":
                    version = get_version(self._engine, self._project_id, int(key))
                    load_dataset(version.content, self._home)
                    if version.note != str(step):
                        lost.append(f"version {key}: it is of step {version.note}")
                elif kind == "picture" and image_key(store.read(key)) != key:
                    lost.append(f"the picture of step {step}: it is another one")
            except TransferLabError as error:
                tidied = kind == "version" and int(key) < oldest_undo and not self._has_version(int(key))
                if not tidied:
                    lost.append(f"the {kind} of step {step}: {error}")
        return lost

    def _has_version(self, number: int) -> bool:
        query = sa.text("SELECT 1 FROM dataset_versions WHERE project_id = :id AND number = :number")
        with self._engine.begin() as connection:
            return connection.execute(query, {"id": self._project_id, "number": number}).first() is not None
