"""Somebody who edits a project and says which steps were confirmed: `python -m tests.soak.person PROJECT STEP`.

Each step renames the project, stores other settings, and moves a picture to another class as a new version of the data
set, by the functions that the pages call. A line on the standard output says what was confirmed, as soon as it was.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from tests.coloured_pictures import picture, png
from tests.soak.confirmed import OWNER, Kind
from tlcore.dataset import move_images
from tlcore.errors import TransferLabError
from tlcore.home import DataRoot
from tlcore.intake.pictures.decoding import read_image
from tlcore.storage.database import open_database
from tlcore.storage.datasets import commit_version, current_dataset
from tlcore.storage.images import ImageStore
from tlcore.storage.projects import rename_project, update_config


def main(project_id: str, step: int) -> None:
    """Go on from a step until somebody ends this process."""
    home = DataRoot.configured()
    engine, store = open_database(home), ImageStore(home)
    while True:
        step += 1
        rename_project(engine, project_id, str(step))
        _confirm("name", step)
        update_config(engine, project_id, lambda config: replace(config, training=replace(config.training, seed=step)))  # noqa: B023
        _confirm("settings", step)
        number, dataset = current_dataset(engine, project_id, home)
        item = dataset.items[step % len(dataset.items)]
        other = next(one.id for one in dataset.classes if one.id != item.class_id)
        edited = move_images(dataset, item.class_id, [item.image], other)
        committed = commit_version(engine, project_id, edited, str(step), parent=number, home=home)
        _confirm("version", step, str(committed))
        clean = read_image(png(picture("red", step)))
        _confirm("picture", step, store.add(clean.data, clean.thumbnail))


def _confirm(kind: Kind, step: int, key: str = "") -> None:
    os.write(sys.stdout.fileno(), f"{kind} {step} {key}\n".encode())


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except TransferLabError as error:
        sys.exit(f"{OWNER}: {error}")
