import numpy as np
import pytest

from tidemill.names import Kind
from tidemill.schema import Column, Levels
from tidemill.stages.classes import Values, class_codes, class_name, class_texts, class_value

LEVELS = Levels(np.array([1, 0, -1, 1], dtype=np.int32), ("b", "a"))
WORDS = np.array(["a", "b", None, "a"], dtype=object)
DAYS = np.array(["2013-07-04", "NaT"], dtype="datetime64[us]")
NUMBERS = np.array([1.0, np.nan, -0.0, 0.1 + 0.2, 7.0])


@pytest.mark.parametrize(
    ("values", "kind", "texts"),
    [
        (LEVELS, "categorical", ["a", "b", None, "a"]),
        (WORDS, "categorical", ["a", "b", None, "a"]),
        (np.array([1.0, np.nan, 0.0]), "boolean", ["true", None, "false"]),
        (NUMBERS, "numeric", ["1", None, "0", "0.3", "7"]),
        (DAYS, "datetime", ["2013-07-04T00:00:00.000000", None]),
    ],
)
def test_a_class_has_the_name_of_its_value(values: Values, kind: Kind, texts: list[str | None]) -> None:
    assert class_texts(values, kind).tolist() == texts


@pytest.mark.parametrize(
    ("values", "kind", "classes", "codes"),
    [
        (LEVELS, "categorical", ["a", "c"], [0, -1, -1, 0]),
        (WORDS, "categorical", ["a", "c"], [0, -1, -1, 0]),
        (np.array([1.0, np.nan, 0.0]), "boolean", ["true", "false"], [0, -1, 1]),
        (NUMBERS, "numeric", ["1", "0.3", "0"], [0, -1, 2, 1, -1]),
        (NUMBERS[:2], "numeric", [], [-1, -1]),
        (DAYS, "datetime", ["2013-07-04T00:00:00.000000"], [0, -1]),
    ],
)
def test_a_code_is_the_place_among_the_classes_or_says_that_there_is_none(
    values: Values, kind: Kind, classes: list[str], codes: list[float]
) -> None:
    assert class_codes(values, kind, classes).tolist() == codes


@pytest.mark.parametrize(
    ("label", "kind", "name"),
    [
        (3, "numeric", "3"),
        (" 3.0 ", "numeric", "3"),
        (-0.0, "numeric", "0"),
        ("1_0", "numeric", None),
        ("١", "numeric", None),
        ("inf", "numeric", None),
        ("NA", "numeric", None),
        (True, "boolean", "true"),
        ("off", "boolean", "false"),
        (" a ", "categorical", "a"),
        (None, "categorical", None),
        ("2013-07-04", "datetime", "2013-07-04T00:00:00.000000"),
    ],
)
def test_a_label_means_a_class_or_none(label: object, kind: Kind, name: str | None) -> None:
    target = Column("y", kind, "target")
    assert class_name(label, target) == name
    if name:
        assert class_name(class_value(name, target), target) == name


def test_a_label_may_be_written_as_the_target_is() -> None:
    assert class_name("1.000,5", Column("y", "numeric", "target", decimal=",", thousands=".")) == "1000.5"
