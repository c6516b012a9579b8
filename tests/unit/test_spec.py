from datetime import timedelta

import pytest

from tidemill.errors import InvalidSpec
from tidemill.names import model_name
from tidemill.spec import ColumnSpec, ModelSpec, Monitor, Train, parse_spec


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(text)
    return caught.value.problems


def test_the_target_is_the_only_line_that_is_needed() -> None:
    assert parse_spec('target = "late"') == ModelSpec(target="late")


def test_every_section_is_read_into_its_own_type() -> None:
    spec = parse_spec(
        'target = "late"\nexclude = ["arrived"]\n[columns.carrier]\nkind = "categorical"\n'
        '[train]\ncandidates = ["linear"]\n[monitor]\nwindow = "90 minutes"\npatience = [1, 2]'
    )
    assert spec.columns["carrier"].kind == "categorical"
    assert spec.train == Train(candidates=("linear",))
    assert spec.monitor == Monitor(window=timedelta(minutes=90), patience=(1, 2))
    assert spec.not_features() == {"late", "arrived"}


def test_a_candidates_parameters_are_ranges_or_fixed() -> None:
    spec = parse_spec(
        'target = "late"\n[train]\nthreshold = 0.3\n[train.boosting]\nlearning_rate = [0.02, 0.2]\nmax_iter = 80'
    )
    assert spec.train.boosting == {"learning_rate": (0.02, 0.2), "max_iter": (80, 80)}
    assert spec.train.linear == spec.train.forest == {}
    assert spec.train.threshold == 0.3


def test_all_mistakes_are_told_at_once() -> None:
    found = problems('taget = "late"\nholdout = 0.9\n[gate]\nconfidence = "high"\n[columns.x]\nkind = "int"')
    assert len(found) == 5
    assert "taget is not a known key; did you mean target?" in found
    assert "target is missing: say which column is to be predicted" in found
    assert "holdout: 0.9 is not a number from 0.05 to 0.5" in found
    assert "gate.confidence: 'high' is not a number from 0.5 to 0.9999" in found
    assert "columns.x.kind: 'int' is not one of numeric, boolean, categorical, datetime" in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("target = ", "the spec is not valid TOML"),
        ('target = "a"\n[trian]\nseconds = 9', "trian is not a known key; did you mean train?"),
        ('target = "a"\n[train]\nsecond = 9', "train.second is not a known key; did you mean train.seconds?"),
        ('target = "a"\ntrain = 3', "train: write it as a table, [train]"),
        ('target = "a"\ncolumns = 3', "columns: write one table a column"),
        ('target = "a"\n[train]\ncandidates = ["boost"]', "['boost'] are not known; choose among linear"),
        ('target = "a"\n[train]\ntrials = true', "train.trials: True is not a whole number from 1 to 100"),
        ('target = "a"\n[train]\nthreshold = 1.5', "train.threshold: 1.5 is not a number from 0 to 1"),
        (
            'target = "a"\ntask = "regression"\n[train]\nthreshold = 0.4',
            "train.threshold only has a meaning for classification",
        ),
        (
            'target = "a"\n[train]\ncandidates = ["linear", "forest", "linear"]',
            "train.candidates names linear more than once",
        ),
        (
            'target = "a"\n[train.boosting]\nlearning_rat = 0.1',
            "train.boosting: learning_rat: not a known parameter; choose among learning_rate, max_leaf_nodes, ",
        ),
        (
            'target = "a"\n[train.boosting]\nlearning_rate = [0.1, 5]\nmax_leaf_nodes = 2.5\nmax_features = [1]',
            "train.boosting: learning_rate: 5 is not a number from 0.001 to 1; max_leaf_nodes: 2.5 is not a whole "
            "number from 2 to 1000; max_features: [1] is not a range of two numbers such as [low, high]",
        ),
        ('target = "a"\n[train.forest]\ntrees = [200, 100]', "trees: [200, 100] begins above its end"),
        ('target = "a"\n[train.linear]\nstrength = "much"', "strength: 'much' is not a number from 1e-06 to 1e+06"),
        ('target = "a"\n[train]\nlinear = 3', "train.linear: 3 is not a table of parameters such as strength ="),
        ('target = "a"\nholdout = nan', "holdout: nan is not a number"),
        ('target = "a"\n[gate]\nmode = "non_inferior"', "needs gate.margin"),
        ('target = "a"\n[gate]\nmargin = 1', "only has a meaning with gate.mode = 'non_inferior'"),
        ('target = "a"\nid = "a"', "target 'a' cannot be excluded, the id or the time as well"),
        ('target = "a"\nid = "b"\n[capture]\ndrop = ["b"]', "capture.drop cannot name the id 'b': labels find their"),
        ('target = "a"\n[capture]\ndrop = "b"', "capture.drop: 'b' is not a list of names"),
        ('target = "a"\nid = "b"\ntime = "b"', "column 'b' cannot be the id and the time at once"),
        ('target = "a"\n[monitor]\npatience = [3, 2]', "monitor.patience: [3, 2] is not [needed, windows]"),
        ('target = "a"\n[monitor]\nwindow = 0', "monitor.window: 0 is neither a time such as '1 day' nor a number"),
        ('target = "a"\n[monitor]\nwindow = true', "monitor.window: True is neither a time"),
        ('target = "a"\n[monitor]\nwindow = "soon"', "monitor.window: 'soon' is not a duration such as"),
        ('target = "a"\n[monitor]\nwindow = 99', "monitor.window = 99 has fewer predictions than monitor.min_rows"),
        ('target = "a"\n[monitor]\nwindow = "0 days"', "monitor.window: '0 days' is no time at all"),
        ('target = "a"\n[columns.x]\ndecimal = "ab"', "columns.x.decimal: 'ab' is not a mark of one character such as"),
        ('target = "a"\n[columns.x]\nthousands = "1"', "columns.x.thousands: '1' is not a mark of one character"),
        ('target = "a"\n[columns.x]\nthousands = "\\n"', "is not a mark of one character such as ',' or '.'"),
        ('target = "a"\n[columns.x]\nthousands = "."', 'is the decimal point: say columns.x.decimal = "," as well'),
        (
            'target = "a"\n[columns.x]\ndecimal = ","\nthousands = ","',
            "columns.x.decimal and columns.x.thousands cannot both be ','",
        ),
        ('target = "a"\n[columns.x]\nunit = " "', "columns.x.unit: ' ' is not a unit such as 'EUR', 'kg' or '%'"),
        ('target = "a"\n[columns.x]\nunit = "-"', "columns.x.unit: '-' is not a unit"),
        ('target = "a"\n[columns.x]\nunit = 3', "columns.x.unit: 3 is not a unit"),
        ('target = "a"\n[columns.x]\nformat = 3', "columns.x.format: 3 is not text"),
        ('target = "a"\n[columns.x]\nformat = "%d.%m"', "needs a year (%Y or %y), a month (%m or %b) and a day (%d)"),
        ('target = "a"\n[columns.x]\nformat = "%d.%m.%Y %A"', "has %A, and known are %Y %y %b %m %d"),
        ('target = "a"\n[columns.x]\nformat = "%d.%m.%Y %"', "has %, and known are"),
        ('target = "a"\n[columns.x]\nformat = "%d.%m.%Y %m"', "'%d.%m.%Y %m' has a letter twice"),
        ('target = "a"\n[columns.x]\nformat = "%d.%m.%Y %I"', "has no clear hour: use %H, or %I with %p"),
        ('target = "a"\n[columns.x]\nformat = "%d.%m.%Y %S"', "has a part of the time without the larger ones"),
        (
            'target = "a"\n[columns.x]\nformat = "%Y-%d-%m"',
            "would read ISO dates such as 2013-07-04 with month and day",
        ),
        (
            'target = "a"\n[columns.x]\nkind = "numeric"\nformat = "%Y%m%d"',
            "columns.x.format is said of a datetime column, not of a numeric one",
        ),
        (
            'target = "a"\n[columns.x]\nkind = "categorical"\nunit = "kg"',
            "columns.x.unit is said of a numeric column, not of a categorical one",
        ),
        ('target = "a"\n[retrain]\ncooldown = "99999999999999 weeks"', "is longer than 3,650 days"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_its_value(text: str, expected: str) -> None:
    (problem,) = problems(text)
    assert expected in problem


def test_all_that_is_wrong_with_how_a_column_is_written_is_told_at_once() -> None:
    found = problems(
        'target = "a"\n[columns.x]\ndecimal = ",,"\nunit = "+"\n[columns.y]\nformat = "%d.%d %q"\n'
        '[columns.z]\nunit = "kg"\nformat = "%Y%m%d"'
    )
    assert len(found) == 4
    assert found[2] == (
        "columns.y.format: '%d.%d %q' has %q, and known are %Y %y %b %m %d %H %I %p %M %S %f %z; has a letter twice; "
        "needs a year (%Y or %y), a month (%m or %b) and a day (%d)"
    )


def test_how_a_column_is_written_says_its_kind() -> None:
    spec = parse_spec(
        'target = "a"\n[columns]\np.decimal = ","\np.thousands = "\u00a0"\np.unit = " EUR "\nd.format = " %d.%m.%y"'
    )
    assert spec.columns == {
        "p": ColumnSpec("numeric", decimal=",", thousands="\u00a0", unit="EUR"),
        "d": ColumnSpec("datetime", format="%d.%m.%y"),
    }


@pytest.mark.parametrize("name", ["", "Flights", "a/b", "-a", "a b", "é", "a" * 41, "a\n"])
def test_a_model_name_that_could_not_be_a_key_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(InvalidSpec, match="is not allowed: use 1 to 40 lower-case letters, digits"):
        model_name(name)


def test_the_digest_changes_with_anything_that_a_run_depends_on() -> None:
    texts = [
        'target = "a"',
        'target = "b"',
        'target = "a"\nid = "i"',
        'target = "a"\n[columns.x]\nkind = "numeric"',
        'target = "a"\n[columns.x]\ndecimal = ","',
        'target = "a"\n[columns.x]\nthousands = ","',
        'target = "a"\n[columns.x]\nunit = "kg"',
        'target = "a"\n[columns.x]\nformat = "%d/%m/%Y"',
        'target = "a"\n[retrain]\ncooldown = "2 days"',
        'target = "a"\n[train.forest]\ntrees = 50',
        'target = "a"\n[train.forest]\ntrees = [40, 50]',
        'target = "a"\n[train]\nthreshold = 0.5',
    ]
    assert len({parse_spec(text).digest() for text in texts}) == len(texts)
    assert parse_spec('target = "a" # a comment').digest() == parse_spec('target = "a"').digest()
