"""A project with pictures, for tests of pages: what is stored in it, and how its pages are opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from streamlit.testing.v1 import AppTest

from tests.page_tests import OWNER, open_app
from tlcore.config import RunConfig
from tlcore.dataset import Dataset
from tlcore.home import DataRoot
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version
from tlcore.storage.projects import Project, create_project, get_project, update_config

T = TypeVar("T", bound="Lab")


@dataclass(frozen=True)
class Lab:
    """A project with pictures."""

    engine: sa.Engine
    home: DataRoot
    project_id: str
    version: int

    @classmethod
    def make(cls: type[T], home: DataRoot, dataset: Dataset) -> T:
        """Make a project with a data set whose pictures are in the data root already."""
        engine = open_database(home)
        project = create_project(engine, OWNER, "Pets")
        version = commit_version(engine, project.id, dataset, "made", parent=None, home=home)
        return cls(engine, home, project.id, version)

    @property
    def project(self) -> Project:
        """The project as it is stored."""
        return get_project(self.engine, self.project_id, OWNER)

    @property
    def config(self) -> RunConfig:
        """The settings of the next run."""
        return self.project.config

    def change(self, change: Callable[[RunConfig], RunConfig]) -> None:
        """Store other settings."""
        update_config(self.engine, self.project_id, change)

    def open(self, step: str, **query: str) -> AppTest:
        """Open the page of a step."""
        return open_app(step, project=self.project_id, **query)
