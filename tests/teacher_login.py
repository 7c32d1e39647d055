"""A page test whose browser is logged in as a teacher's: AppTest keeps no cookies."""

from __future__ import annotations

import pytest

from pages.server import teacher
from tests.page_tests import OWNER


def be_teacher(patched: pytest.MonkeyPatch, owner: str = OWNER) -> None:
    """Let pages that are opened from now on see the cookie of a teacher's login.

    Args:
        patched: Until its end.
        owner: Whose browser it is.
    """
    token = teacher.TEACHERS.let_in(owner)
    patched.setattr(teacher, "token_of_page", lambda: token)
