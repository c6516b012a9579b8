"""Own estimators: code that was deployed with the functions, of which a spec names one.

Nothing is ever imported from a bucket: whoever may upload data or a spec chooses among the modules that are there.
"""

from collections.abc import Iterable
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

import tidemill_estimators
from tidemill.errors import TrainingFailed
from tidemill.names import Task
from tidemill.schema import Schema
from tidemill.spec import ESTIMATOR_NAME
from tidemill.stages.export import refuse_traps
from tidemill.stages.folds import SEED

FOLDER = "layers/estimators/python/tidemill_estimators"
"""Where the modules are in the project."""


def known_in(folders: Iterable[str]) -> tuple[str, ...]:
    """What a spec may name, told without running any of it."""
    found = (module.name for module in iter_modules(folders) if not module.ispkg)
    return tuple(sorted(name for name in found if ESTIMATOR_NAME.fullmatch(name)))


def unknown(name: str, known: Iterable[str]) -> str:
    """The sentence for a name that is not one of these."""
    choice = ", ".join(known) or "there is none"
    return f"train.estimator = {name!r} is none of the own estimators ({choice}): correct it, or write {_file(name)}"


def build(name: str, schema: Schema, task: Task) -> Any:
    """An unfitted scikit-learn estimator from the encoded matrix to probabilities or values, the same for the same
    arguments: whatever has a `random_state` and says nothing of it gets the seed.

    Raises `TrainingFailed`, with the file, for a module that is not there or does not do what it should.
    """
    module = _module(name)
    try:
        made = module.build(schema, task)
    except Exception as error:
        raise TrainingFailed(f"{_file(name)}: build(schema, task) failed with {_told(error)}") from error
    fault = _fault(made, task)
    if fault:
        raise TrainingFailed(f"{_file(name)}: build(schema, task) returned {_article(made)}, {fault}")
    try:
        # Before minutes are spent on it.
        refuse_traps(made)
    except TrainingFailed as error:
        raise TrainingFailed(f"{_file(name)}: {error}") from None
    return made.set_params(**{key: SEED for key, value in made.get_params().items() if _is_seed(key) and value is None})


def _module(name: str) -> ModuleType:
    known = known_in(tidemill_estimators.__path__)
    if name not in known:
        raise TrainingFailed(f"{unknown(name, known)}, then deploy")
    try:
        module = import_module(f"{tidemill_estimators.__name__}.{name}")
    except Exception as error:
        raise TrainingFailed(
            f"{_file(name)} cannot be imported ({_told(error)}): it may use numpy, scipy, scikit-learn and tidemill"
        ) from error
    if not callable(getattr(module, "build", None)):
        raise TrainingFailed(f"{_file(name)} has no function build(schema, task)")
    return module


def _fault(made: object, task: Task) -> str:
    """What is wrong with it, empty if nothing is."""
    if not isinstance(made, BaseEstimator):
        return "which is no scikit-learn estimator"
    if task == "regression":
        return "" if is_regressor(made) else "which is no regressor: the target is a number"
    if not is_classifier(made):
        return "which is no classifier: the target is a class"
    if not hasattr(_answering(made), "predict_proba"):
        return "which has no predict_proba: a classifier must say how probable each class is"
    return ""


def _answering(made: Any) -> Any:
    """The part of a pipeline or of a stack that says what the whole can: before it is fitted, a stack does not."""
    if isinstance(made, Pipeline):
        return _answering(made.steps[-1][1])
    if isinstance(made, StackingClassifier):
        return _answering(made.final_estimator or LogisticRegression())
    return made


def _is_seed(parameter: str) -> bool:
    return parameter.rpartition("__")[2] == "random_state"


def _article(made: object) -> str:
    return f"the class {made.__name__}" if isinstance(made, type) else f"a {type(made).__name__}"


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _file(name: str) -> str:
    return f"{FOLDER}/{name}.py"
