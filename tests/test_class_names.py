"""Names of folders become usable names of classes."""

from tlcore.intake.meaning.class_names import class_names, natural, similar_names


def test_names_that_look_alike_stay_apart_and_are_reported():
    names = class_names(("Cat", "cat", "cat ", "dog", "cafe\u0301", "caf\u00e9"))
    assert list(names.values()) == ["Cat", "cat", "dog", "caf\u00e9", "cat (2)", "caf\u00e9 (2)"]
    assert similar_names(names.values()) == (("caf\u00e9", "caf\u00e9 (2)"), ("Cat", "cat", "cat (2)"))


def test_odd_folder_names_become_usable_class_names():
    odd = ("\x1b\x07", "x" * 300, "a\nb", "01", "1", "=1+1")
    names = class_names(odd)
    assert len(set(names.values())) == 6
    assert all(0 < len(name) <= 100 and name.isprintable() for name in names.values())
    assert [names[name] for name in odd[3:]] == ["01", "1", "=1+1"]


def test_classes_are_sorted_as_people_count():
    assert sorted(["10", "b", "2", "A"], key=natural) == ["A", "b", "2", "10"]
