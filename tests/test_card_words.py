"""What people say of a model in its card: kept for each, gone with the model, in backups; damage closes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.coloured_pictures import RecordingProgress
from tests.old_data_root import unpack_old_data_root
from tests.page_tests import OWNER
from tlcore.backup import restore_backup, save_backup
from tlcore.errors import NotFoundError
from tlcore.home import DataRoot
from tlcore.storage.card_words import MAX_CONTACT_LENGTH, CardWords, change_card_words, read_card_words
from tlcore.storage.database import card_words, open_database, read_rows, writing
from tlcore.storage.deletion import delete_project
from tlcore.storage.ensembles import delete_ensemble, list_ensembles
from tlcore.storage.projects import create_project, read_projects

WORDS = CardWords("To sort <b>leaves</b>\nin the garden", "Not for mushrooms", "room 7b")


@pytest.fixture
def engine(home: DataRoot) -> sa.Engine:
    return open_database(home)


def test_words_are_kept_for_each_model_as_they_were_typed(engine: sa.Engine) -> None:
    project, other = (create_project(engine, "ann", name) for name in ("Cats", "Dogs"))
    assert read_card_words(engine, project.id, "a") == CardWords("", "", "")
    change_card_words(engine, project.id, "a", lambda before: replace(before, purpose=WORDS.purpose))
    change_card_words(engine, project.id, "a", lambda before: replace(before, limits=WORDS.limits))
    after = change_card_words(engine, project.id, "a", lambda before: replace(before, contact=WORDS.contact))
    assert after == read_card_words(engine, project.id, "a") == WORDS, "each tab keeps the other's field"
    assert read_card_words(engine, project.id, "b") == read_card_words(engine, other.id, "a") == CardWords()


def test_words_that_are_too_long_are_refused(engine: sa.Engine) -> None:
    with pytest.raises(ValueError, match=f"at most {MAX_CONTACT_LENGTH} characters"):
        CardWords(contact="x" * (MAX_CONTACT_LENGTH + 1))


def test_words_go_with_their_project_and_with_their_group(home: DataRoot) -> None:
    engine = open_database(unpack_old_data_root(home))  # of a version that had no such words
    project = read_projects(engine, OWNER)[0][1]
    (group,) = list_ensembles(engine, project.id)
    assert read_card_words(engine, project.id, group.id) == CardWords()
    for model in (group.id, "a"):
        change_card_words(engine, project.id, model, lambda _: WORDS)
    delete_ensemble(engine, group.id)
    assert [row.model_id for row in read_rows(engine, sa.select(card_words))] == ["a"]
    delete_project(engine, project.id, home)
    assert read_rows(engine, sa.select(card_words)) == []
    with pytest.raises(NotFoundError, match="deleted"):
        change_card_words(engine, project.id, "a", lambda before: before)


def test_a_damaged_row_says_nothing_and_the_next_change_mends_it(engine: sa.Engine) -> None:
    project = create_project(engine, "ann", "Cats")
    change_card_words(engine, project.id, "a", lambda _: WORDS)
    with writing(engine) as connection:
        connection.execute(sa.text("UPDATE card_words SET limits = x'ff00'"))
    assert read_card_words(engine, project.id, "a") == CardWords()
    change_card_words(engine, project.id, "a", lambda _: WORDS)
    assert read_card_words(engine, project.id, "a") == WORDS


def test_a_backup_brings_them_back(engine: sa.Engine, home: DataRoot, tmp_path: Path) -> None:
    project = create_project(engine, "ann", "Cats")
    change_card_words(engine, project.id, "a", lambda _: WORDS)
    save_backup(tmp_path / "saved.zip", home, RecordingProgress())
    other = DataRoot(tmp_path / "other")
    restore_backup(tmp_path / "saved.zip", other, RecordingProgress())
    assert read_card_words(open_database(other), project.id, "a") == WORDS
