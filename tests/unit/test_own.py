"""Own estimators: which code a spec may name, what that code must return, and the example that ships."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import numpy.typing as npt
import pytest

import tidemill_estimators
from tests.unit.builders import FOREVER, Data, dataset, observations, training_side
from tidemill.encoding import MISSING, UNKNOWN, Matrix
from tidemill.errors import InvalidSpec, TrainingFailed
from tidemill.names import Task
from tidemill.schema import Column, Schema
from tidemill.spec import CANDIDATES, Train, parse_spec
from tidemill.stages import own
from tidemill.stages.export import parity, predict, to_onnx
from tidemill.stages.folds import SEED
from tidemill.stages.onnx_model import OnnxModel
from tidemill.stages.train import train
from tidemill_estimators import monotone

Deploy = Callable[[str, str], None]

SCHEMA = Schema((Column("size", "numeric", "feature"), Column("y", "boolean", "target")), "binary", ("no", "yes"))


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deploy]:
    """Puts a module beside those that ship."""
    monkeypatch.setattr(tidemill_estimators, "__path__", [*tidemill_estimators.__path__, str(tmp_path)])
    before = set(sys.modules)

    def put(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(dedent(code))

    yield put
    for name in set(sys.modules) - before:
        del sys.modules[name]


def sentence(name: str, task: Task = "binary") -> str:
    """Why there is none."""
    with pytest.raises(TrainingFailed) as caught:
        own.build(name, SCHEMA, task)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def returning(what: str) -> str:
    return f"""
        from sklearn.base import BaseEstimator, TransformerMixin
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.ensemble import *
        from sklearn.impute import KNNImputer, SimpleImputer
        from sklearn.linear_model import *
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import *

        class Doubled(TransformerMixin, BaseEstimator):
            def fit(self, matrix, target=None):
                self.fitted_ = True
                return self

            def transform(self, matrix):
                return matrix * 2

        def build(schema, task):
            return {what}
    """


# Which code


def test_an_own_estimator_competes_beside_the_candidates_or_alone() -> None:
    assert Train().competing == CANDIDATES
    named = parse_spec('target = "y"\n[train]\nestimator = "monotone"').train
    assert named.competing == (*CANDIDATES, "own")
    alone = parse_spec('target = "y"\n[train]\ncandidates = []\nestimator = "monotone"').train
    assert alone.competing == ("own",)


@pytest.mark.parametrize("name", ["Monotone", "mono.tone", "../monotone", "_private", "1st", "", "a" * 41, "é", 3])
def test_a_spec_takes_only_what_can_be_the_name_of_a_module_of_ours(name: object) -> None:
    with pytest.raises(InvalidSpec, match=r"train\.estimator: .* is not an estimator's name: use 1 to 40 lower-case"):
        parse_spec(f'target = "y"\n[train]\nestimator = {name!r}')


@pytest.mark.parametrize("name", ["os", "builtins", "monoton", "../monotone", "monotone.build", "tidemill.spec"])
def test_a_name_that_is_not_deployed_is_refused_with_those_that_are(name: str) -> None:
    assert sentence(name) == (
        f"train.estimator = {name!r} is none of the own estimators (monotone): correct it, or write "
        f"layers/estimators/python/tidemill_estimators/{name}.py, then deploy"
    )


def test_nothing_is_run_to_tell_which_are_deployed(tmp_path: Path) -> None:
    for name in ("rates.py", "_shared.py", "Upper.py", "notes.txt"):
        (tmp_path / name).write_text("raise SystemExit")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__init__.py").write_text("raise SystemExit")
    assert own.known_in([str(tmp_path)]) == ("rates",)
    assert own.known_in([str(tmp_path / "nowhere")]) == ()
    assert "(there is none)" in own.unknown("rates", ())


def test_a_module_that_imports_what_is_not_shipped_is_told(deploy: Deploy) -> None:
    deploy("wanting", "import package_of_nobody")
    assert sentence("wanting") == (
        "layers/estimators/python/tidemill_estimators/wanting.py cannot be imported (ModuleNotFoundError: No module "
        "named 'package_of_nobody'): it may use numpy, scipy, scikit-learn and tidemill"
    )


def test_a_module_without_build_is_told(deploy: Deploy) -> None:
    deploy("empty", "ESTIMATOR = None")
    assert sentence("empty").endswith("tidemill_estimators/empty.py has no function build(schema, task)")


# What it returns


def test_an_error_in_build_is_told_with_its_file(deploy: Deploy) -> None:
    deploy("failing", "def build(schema, task):\n    return schema.features[7]")
    assert sentence("failing").endswith(
        "failing.py: build(schema, task) failed with IndexError: tuple index out of range"
    )


@pytest.mark.parametrize(
    ("task", "what", "said"),
    [
        ("binary", "None", "a NoneType, which is no scikit-learn estimator"),
        ("binary", "LogisticRegression", "the class LogisticRegression, which is no scikit-learn estimator"),
        ("binary", "StandardScaler()", "a StandardScaler, which is no classifier: the target is a class"),
        ("regression", "make_pipeline(StandardScaler())", "a Pipeline, which is no regressor: the target is a number"),
        ("binary", "LinearRegression()", "a LinearRegression, which is no classifier: the target is a class"),
        ("regression", "LogisticRegression()", "a LogisticRegression, which is no regressor: the target is a number"),
        ("multiclass", "RidgeClassifier()", "a RidgeClassifier, which has no predict_proba: a classifier must say"),
        ("binary", "make_pipeline(SGDClassifier())", "a Pipeline, which has no predict_proba: a classifier must say"),
        (
            "binary",
            "StackingClassifier([('a', LogisticRegression())], final_estimator=RidgeClassifier())",
            "a StackingClassifier, which has no predict_proba",
        ),
    ],
)
def test_what_cannot_be_trained_is_told_before_it_is(deploy: Deploy, task: Task, what: str, said: str) -> None:
    deploy("wrong", returning(what))
    assert f"wrong.py: build(schema, task) returned {said}" in sentence("wrong", task)


def test_what_has_no_seed_gets_one_so_that_training_again_gives_the_same(deploy: Deploy) -> None:
    deploy("seeded", returning("make_pipeline(StandardScaler(), SGDClassifier(loss='log_loss'))"))
    deploy("fixed", returning("SGDClassifier(loss='log_loss', random_state=7)"))
    seeded = [own.build("seeded", SCHEMA, "binary").get_params()["sgdclassifier__random_state"] for _ in range(2)]
    assert seeded == [SEED, SEED]
    assert own.build("fixed", SCHEMA, "binary").random_state == 7


@pytest.mark.parametrize(
    ("task", "what"),
    [
        ("multiclass", "StackingClassifier([('a', LogisticRegression()), ('b', HistGradientBoostingClassifier())])"),
        ("binary", "make_pipeline(SimpleImputer(), StackingClassifier([('a', LogisticRegression())]))"),
        ("binary", "BaggingClassifier(LogisticRegression())"),
        ("regression", "StackingRegressor([('a', Ridge())])"),
        ("regression", "VotingRegressor([('a', Ridge()), ('b', Ridge(10))])"),
    ],
)
def test_what_is_made_of_several_is_taken_although_it_cannot_answer_before_it_is_fitted(
    deploy: Deploy, task: Task, what: str
) -> None:
    deploy("several", returning(what))
    assert own.build("several", SCHEMA, task) is not None


# What cannot be exported


@pytest.mark.parametrize(
    ("task", "what", "said"),
    [
        (
            "binary",
            "VotingClassifier([('a', LogisticRegression()), ('b', SGDClassifier(loss='log_loss'))], voting='soft')",
            "step VotingClassifier does not export without loss: use StackingClassifier",
        ),
        ("binary", "make_pipeline(KNNImputer(), LogisticRegression())", "step KNNImputer .*: use SimpleImputer"),
        (
            "binary",
            "make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression())",
            r"step SimpleImputer\(add_indicator=True\) .*: use another one",
        ),
        (
            "binary",
            "make_pipeline(FunctionTransformer(abs), LogisticRegression())",
            "step FunctionTransformer .*: use columns that are computed before the upload",
        ),
        (
            "binary",
            "make_pipeline(QuantileTransformer(), LogisticRegression())",
            "step QuantileTransformer .*: use Sta",
        ),
        ("binary", "make_pipeline(SplineTransformer(), LogisticRegression())", "step SplineTransformer .*: use KBins"),
        (
            "binary",
            "make_pipeline(OneHotEncoder(min_frequency=5), LogisticRegression())",
            r"step OneHotEncoder\(min_frequency=5\) .*: use all categories",
        ),
        (
            "binary",
            "StackingClassifier([('a', HistGradientBoostingClassifier(categorical_features=[0]))])",
            r"step HistGradientBoostingClassifier\(categorical_features=\[0\]\) .*: use TargetEncoder",
        ),
        (
            "regression",
            "HistGradientBoostingRegressor(loss='poisson')",
            r"step HistGradientBoostingRegressor\(loss='poisson'\) .*: use loss='squared_error'",
        ),
        ("regression", "TransformedTargetRegressor(Ridge())", "step TransformedTargetRegressor .*: use its regressor"),
    ],
)
def test_a_step_that_is_known_not_to_export_is_refused_before_it_is_trained(
    deploy: Deploy, task: Task, what: str, said: str
) -> None:
    deploy("lossy", returning(what))
    assert re.match(f"layers/estimators/python/tidemill_estimators/lossy.py: {said}", sentence("lossy", task))


def test_a_step_that_nobody_can_export_is_refused_after_training_with_its_name(deploy: Deploy) -> None:
    deploy("custom", returning("make_pipeline(SimpleImputer(), Doubled(), LogisticRegression())"))
    data = dataset(observations(200, task="binary"))
    spec = parse_spec('target = "y"\n[train]\nestimator = "custom"')
    with pytest.raises(
        TrainingFailed, match=r"step Doubled cannot be exported to ONNX .*: use a scikit-learn step that"
    ):
        train("own", training_side(data), spec, data.matrix[data.held_out], FOREVER)


# The example that ships


@pytest.fixture(scope="module", params=["binary", "regression"])
def data(request: pytest.FixtureRequest) -> Data:
    return dataset(observations(1_500, task=request.param))


@pytest.fixture
def example(data: Data, monkeypatch: pytest.MonkeyPatch) -> tuple[object, bytes]:
    """The fitted pipeline and its graph; `size` falls, against what the rows show."""
    monkeypatch.setattr(monotone, "RISING", ())
    monkeypatch.setattr(monotone, "FALLING", ("size",))
    side = training_side(data)
    labels = side.target if data.schema.task == "regression" else side.target.astype(np.int64)
    model = own.build("monotone", data.schema, data.schema.task).fit(side.matrix, labels)
    return model, to_onnx(model, side.matrix.shape[1], classifier=data.schema.task != "regression")


def falls(predictions: npt.NDArray[np.float64]) -> bool:
    values = predictions[:, 1] if predictions.ndim == 2 else predictions
    return bool((np.diff(values) <= 0).all())


def sweep(data: Data, row: Matrix) -> Matrix:
    """The row with all sizes from far below to far above those that were learned."""
    swept = np.repeat(row[None], 400, axis=0)
    swept[:, data.names.index("numeric:size")] = np.linspace(-50, 150, 400)
    return swept


def test_the_example_never_rises_with_a_column_that_is_to_fall_and_neither_does_its_graph(
    data: Data, example: tuple[object, bytes]
) -> None:
    graph = OnnxModel(example[1])
    for row in data.matrix[data.held_out][:40]:
        assert falls(graph.predict(sweep(data, row)))
        assert falls(predict(example[0], sweep(data, row)))


def test_the_graph_of_the_example_answers_as_its_pipeline_on_gaps_and_unseen_categories(
    data: Data, example: tuple[object, bytes]
) -> None:
    held = data.matrix[data.held_out]
    codes = [place for place, name in enumerate(data.names) if name.startswith("categorical:")]
    unseen, absent, empty = held.copy(), held.copy(), held.copy()
    unseen[:, codes], absent[:, codes] = UNKNOWN, MISSING
    empty[:, [place for place in range(held.shape[1]) if place not in codes]] = np.nan
    proof = parity(*example, np.concatenate([held, unseen, absent, empty]))
    assert proof.beyond == 0
    assert proof.largest < 1e-5


def test_without_the_constraint_the_example_would_rise(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monotone, "RISING", ())
    monkeypatch.setattr(monotone, "FALLING", ())
    side = training_side(data)
    labels = side.target if data.schema.task == "regression" else side.target.astype(np.int64)
    model = own.build("monotone", data.schema, data.schema.task).fit(side.matrix, labels)
    assert not all(falls(predict(model, sweep(data, row))) for row in data.matrix[data.held_out][:40])


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("binary", "ValueError: the data set has no numeric column precipitation or visibility: correct RIS"),
        ("multiclass", "ValueError: of more than two classes, none can be said to rise"),
    ],
)
def test_the_example_says_where_it_does_not_fit(task: Task, said: str) -> None:
    assert said in sentence("monotone", task)


def test_the_example_needs_no_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monotone, "RISING", ("size",))
    monkeypatch.setattr(monotone, "FALLING", ())
    rows = np.random.default_rng(0).normal(size=(60, 1)).astype(np.float32)
    model = own.build("monotone", SCHEMA, "binary").fit(rows, (rows[:, 0] > 0).astype(np.int64))
    assert parity(model, to_onnx(model, 1, classifier=True), rows).beyond == 0
