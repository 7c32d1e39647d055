"""The script that lets the members of a group, each trained again by its own script, answer together."""

from __future__ import annotations

from tlcore.export.source import ExportSource
from tlcore.export.training_script import LIST_FILE, PICTURES_FILE, TRAINED_FILE


def group_script(source: ExportSource) -> str:
    """Return a script that runs in the folder above those of the members.

    Args:
        source: A group.
    """
    members = "".join(
        f'    ("member-{number}", {part.model.image_size}, "{part.model.resize_mode}", {part.weight!r}),\n'
        for number, part in enumerate(source.parts, start=1)
    )
    return f"""\
\"\"\"Lets the members of a group answer together.\"\"\"

# Their probabilities are averaged, which is often better than the best of them, because they make different mistakes.
# Train each one first, with train.py in its own folder.
import csv
import io
import sys
import zipfile

import keras
import numpy as np

sys.path.append("member-1")
from pixels import read_square

# Folder, side of the square picture, how a picture becomes square, and what its answer counts.
MEMBERS = [
{members}]

with open("member-1/{LIST_FILE}", encoding="utf-8", newline="") as file:
    listed = [row for row in csv.DictReader(file) if row["split"] == "test"]
with zipfile.ZipFile("member-1/{PICTURES_FILE}") as archive:
    there = set(archive.namelist())  # without pictures that were deleted since the list was made
    rows = [row for row in listed if row["file"] in there]
    files = [archive.read(row["file"]) for row in rows]
if not rows:
    sys.exit("There are no test pictures to ask the group about.")

together = 0
for folder, size, mode, weight in MEMBERS:
    pictures = np.stack([read_square(io.BytesIO(file), size, mode) for file in files])
    model = keras.saving.load_model(f"{{folder}}/{TRAINED_FILE}", compile=False)
    together = together + weight * model.predict(pictures)

right = together.argmax(axis=1) == [int(row["class"]) for row in rows]
print(f"Test accuracy of the group: {{right.mean():.4f}} ({{right.sum()}} of {{len(right)}} pictures)")
"""
