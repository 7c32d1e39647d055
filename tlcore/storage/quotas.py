"""How much one person may have: every quota, what it is when a class uses the app, and the setting that changes it.

This module needs nothing but Python itself: the app's start asks it before there is an environment.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from tlcore.intake.limits import Limit

UNLIMITED: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Quota(Limit):
    """A limit for each person. Somebody alone on a machine of their own has none unless the setting says so.

    Attributes:
        shared: What holds by default when the app is opened to a network.
    """

    shared: float = UNLIMITED

    @property
    def is_set(self) -> bool:
        """Whether there is a limit at all."""
        return self.value != UNLIMITED

    @property
    def for_the_host(self) -> str:
        """What to tell whoever runs the server."""
        return f"Whoever runs Transfer Lab can raise the limit: {self.setting}."


PERSON_GB: Final = Quota(
    "TRANSFER_LAB_PERSON_GB", UNLIMITED, "gigabytes that the projects of one person may take", shared=5
)
PERSON_PICTURES: Final = Quota(
    "TRANSFER_LAB_PERSON_PICTURES", UNLIMITED, "different pictures in all projects of one person", shared=50_000
)
PERSON_PROJECTS: Final = Quota("TRANSFER_LAB_PERSON_PROJECTS", UNLIMITED, "projects of one person", shared=50)
PERSON_RUNS: Final = Quota(
    "TRANSFER_LAB_PERSON_RUNS", UNLIMITED, "training runs of one person that wait in line at a time", shared=20
)
PERSON_UPLOADS: Final = Quota(
    "TRANSFER_LAB_PERSON_UPLOADS", UNLIMITED, "uploads of one person that come in at a time", shared=2
)

QUOTAS: Final = (PERSON_GB, PERSON_PICTURES, PERSON_PROJECTS, PERSON_RUNS, PERSON_UPLOADS)

WARNED_DAYS: Final = 7
"""On so many days on which the server ran Home has said that a project will be deleted before it is."""

RETENTION_DAYS: Final = Limit(
    "TRANSFER_LAB_RETENTION_DAYS",
    UNLIMITED,
    "after so many days (from 7 on) on which the server ran and nobody opened it a project is deleted",
    lowest_whole=WARNED_DAYS,
)


def quotas_for(*, is_shared: bool) -> dict[str, str]:
    """Return the quotas that hold, as variables of the environment; those that are set already are left as they are.

    Args:
        is_shared: Whether others use the app too.

    Raises:
        DatasetError: If a setting is not the number that it must be.
    """
    RETENTION_DAYS.value  # noqa: B018 - refused here, in words, and not in the night when projects shall go
    given = {quota.setting: f"{quota.shared:g}" for quota in QUOTAS if quota.value == UNLIMITED}
    return {name: value for name, value in given.items() if is_shared and not os.environ.get(name)}
