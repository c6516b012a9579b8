"""The registry: what is known of every model, in one DynamoDB table.

pk `MODELS`      sk `{model}`              every model that a run was ever claimed for
pk `MODEL#{m}`   sk `RUN#{id}`             one run, from claim to outcome
                 sk `PARTITION#{content}`  one accepted partition of training data
                 sk `SCHEMA`               which schema document is the newest
                 sk `COUNTER`              the last version number given out
                 sk `VERSION#{n}`          one judged version
                 sk `CHAMPION`             the version that serves
                 sk `JUDGED#{n}`           which rows a version was judged on
                 sk `CHECK#{end}#{id}`     one monitoring check
                 sk `FAILING`              how its checks fail, as long as they do
                 sk `GOVERNOR`             what the retrain governor remembers
                 sk `EVENT#{time}#{id}`    history, only ever appended to: who, what, why

Every change that two runs could race for is a conditional write.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from tidemill.aws.failures import ConditionFailed, translated
from tidemill.errors import ChampionMoved, NotFound
from tidemill.limits import LONGEST_RUN

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import PutTypeDef

Item = dict[str, Any]


@dataclass(frozen=True)
class Champion:
    version: int
    since: str
    run: str


@dataclass(frozen=True)
class Registry:
    """Times are ISO 8601 in UTC. A fact that is None is there, as null."""

    client: "DynamoDBClient"
    table: str

    # Runs

    def claim_run(self, model: str, run: str, now: datetime, **facts: Any) -> bool:
        """False when the run was claimed before: a second delivery of the same event."""
        self._put({"pk": "MODELS", "sk": model})
        item = {**_key(model, f"RUN#{run}"), "run": run, "status": "running", "started": _iso(now), **facts}
        return self._put_if(item, "attribute_not_exists(sk)")

    def finish_run(self, model: str, run: str, now: datetime, **facts: Any) -> bool:
        return self._set(_key(model, f"RUN#{run}"), {**facts, "finished": _iso(now)})

    def cut_off_run(self, model: str, run: str, now: datetime, **facts: Any) -> bool:
        """Finish it if nobody has; False when there is nothing to finish."""
        key = _key(model, f"RUN#{run}")
        return self._set(key, {**facts, "finished": _iso(now)}, held=("status", "running"))

    def note_run(self, model: str, run: str, **facts: Any) -> None:
        """Add what became known while the run is under way."""
        self._set(_key(model, f"RUN#{run}"), facts)

    def run(self, model: str, run: str) -> Item:
        return self._get(_key(model, f"RUN#{run}"), f"run {run} of model {model!r}")

    def runs(self, model: str) -> list[Item]:
        """The newest first."""
        return sorted(self._query(model, "RUN#"), key=lambda item: str(item["started"]), reverse=True)

    # Training data

    def claim_partition(self, model: str, content: str, run: str, now: datetime) -> str | None:
        """The run that this content was trained in before, or None when it is this run's to prepare.

        A run that failed, that was told that its file is invalid, or whose execution must have ended without a word
        does not keep the content from another try.
        """
        key = _key(model, f"PARTITION#{content}")
        if self._put_if({**key, "run": run}, "attribute_not_exists(sk)"):
            return None
        item = self._get(key, "partition")
        owner = str(item["run"])
        if owner == run:
            return None
        record = self.run(model, owner)
        dead = record["status"] == "running" and now - datetime.fromisoformat(str(record["started"])) > LONGEST_RUN
        if (dead or record["status"] in ("invalid", "failed")) and self._put_if(
            {**item, "run": run}, "#run = :owner", {"#run": "run"}, {":owner": owner}
        ):
            return None
        return owner

    def accept_partition(self, model: str, content: str, run: str, now: datetime, **facts: Any) -> None:
        """From now on every data set of the model has this partition."""
        self._set(_key(model, f"PARTITION#{content}"), {"run": run, "accepted": _iso(now), **facts})

    def partitions(self, model: str) -> list[Item]:
        """Accepted ones, the oldest first."""
        accepted = (item for item in self._query(model, "PARTITION#") if "accepted" in item)
        return sorted(accepted, key=lambda item: (str(item["accepted"]), str(item["sk"])))

    def schema(self, model: str) -> str | None:
        """Key of the newest schema document."""
        item = self._find(_key(model, "SCHEMA"))
        return str(item["key"]) if item else None

    def move_schema(self, model: str, expected: str | None, key: str) -> bool:
        """False when another run moved it meanwhile: read it again and extend that one."""
        item = {**_key(model, "SCHEMA"), "key": key}
        if expected is None:
            return self._put_if(item, "attribute_not_exists(sk)")
        return self._put_if(item, "#key = :expected", {"#key": "key"}, {":expected": expected})

    # Versions

    def version_for(self, model: str, run: str) -> int:
        """A run has one version number, however often it asks; a crash in between leaves a gap, never a double."""
        given = self.run(model, run).get("version")
        if given is not None:
            return int(given)
        with translated(f"counting versions of {model}"):
            answer = self.client.update_item(
                TableName=self.table,
                Key=_wire(_key(model, "COUNTER")),
                UpdateExpression="ADD #last :one",
                ExpressionAttributeNames={"#last": "last"},
                ExpressionAttributeValues=_wire({":one": 1}),
                ReturnValues="UPDATED_NEW",
            )
        number = int(_plain(answer["Attributes"])["last"])
        self.note_run(model, run, version=number)
        return number

    def put_version(self, model: str, version: int, **facts: Any) -> None:
        self._put({**_key(model, f"VERSION#{version:06d}"), "version": version, **facts})

    def version(self, model: str, version: int) -> Item:
        return self._get(_key(model, f"VERSION#{version:06d}"), f"version {version} of model {model!r}")

    def versions(self, model: str) -> list[Item]:
        return list(self._query(model, "VERSION#"))

    def put_judgement(self, model: str, version: int, **facts: Any) -> None:
        """What a version was judged on: the sketch of its rows, for those that come after it."""
        self._put({**_key(model, f"JUDGED#{version:06d}"), "version": version, **facts})

    def judgement(self, model: str, version: int) -> Item | None:
        return self._find(_key(model, f"JUDGED#{version:06d}"))

    def judgements(self, model: str) -> list[Item]:
        """The last hundred, the newest first."""
        return list(self._query(model, "JUDGED#", newest_first=True, limit=100))

    def champion(self, model: str) -> Champion | None:
        item = self._find(_key(model, "CHAMPION"))
        return Champion(int(item["version"]), str(item["since"]), str(item["run"])) if item else None

    def promote(
        self, model: str, version: int, *, expected: int | None, run: str, who: str, why: str, now: datetime
    ) -> None:
        """Make it the champion, if the champion is still `expected`, and write the event with it.

        Raises `ChampionMoved` otherwise. Again with the same run is the same promotion.
        """
        champion = self.champion(model)
        if champion and champion.version == version and champion.run == run:
            return
        item = {**_key(model, "CHAMPION"), "version": version, "since": _iso(now), "run": run}
        put: PutTypeDef = {"TableName": self.table, "Item": _wire(item)}
        if expected is None:
            put["ConditionExpression"] = "attribute_not_exists(sk)"
        else:
            put["ConditionExpression"] = "#version = :expected"
            put["ExpressionAttributeNames"] = {"#version": "version"}
            put["ExpressionAttributeValues"] = _wire({":expected": expected})
        event = _event(model, now, what="promoted", version=version, previous=expected, who=who, why=why, run=run)
        try:
            with translated(f"promoting version {version} of {model}"):
                self.client.transact_write_items(
                    TransactItems=[
                        {"Put": put},
                        {
                            "Put": {
                                "TableName": self.table,
                                "Item": _wire(event),
                                "ConditionExpression": "attribute_not_exists(sk)",
                            }
                        },
                    ]
                )
        except ConditionFailed:
            raise ChampionMoved(
                f"the champion of {model} is no longer {f'version {expected}' if expected else 'vacant'}"
            ) from None

    # Monitoring

    def put_check(self, model: str, end: str, check: str, **facts: Any) -> None:
        self._put({**_key(model, f"CHECK#{end}#{check}"), "check": check, **facts})

    def measure_check(self, item: Item, **facts: Any) -> bool:
        """Write what became known of a check; False when somebody else wrote it since this item was read."""
        known = item.get("measured")
        changed = {**item, **facts}
        if known is None:
            return self._put_if(changed, "attribute_exists(sk) AND attribute_not_exists(measured)")
        return self._put_if(changed, "measured = :known", values={":known": known})

    def checks(self, model: str, limit: int | None = None, since: str = "") -> list[Item]:
        """The newest windows first; `since` is the least end that a window may have."""
        return _since(f"CHECK#{since}", self._query(model, "CHECK#", newest_first=True, limit=limit))

    def end_failing(self, model: str) -> None:
        """A check was made: the next one that fails is news, which the monitoring machine writes down."""
        item = self._find(_key(model, "FAILING"))
        if item and item["error"]:
            self._put({**item, "error": ""})

    def governor(self, model: str) -> Item:
        item = self._find(_key(model, "GOVERNOR"))
        return dict(item["state"]) if item else {}

    def move_governor(self, model: str, expected: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
        """False when another check moved it meanwhile: then that one decided."""
        item = {**_key(model, "GOVERNOR"), "state": state}
        if not expected:
            return self._put_if(item, "attribute_not_exists(sk)")
        return self._put_if(item, "#state = :before", {"#state": "state"}, {":before": expected})

    # Reading

    def models(self) -> list[str]:
        return [str(item["sk"]) for item in self._query_pk("MODELS", "")]

    def record(self, model: str, now: datetime, **facts: Any) -> None:
        """Append to the history."""
        self._put(_event(model, now, **facts))

    def events(self, model: str, since: str = "") -> list[Item]:
        """The oldest first."""
        return _since(f"EVENT#{since}", self._query(model, "EVENT#", newest_first=True))[::-1]

    # DynamoDB

    def _find(self, key: Item) -> Item | None:
        with translated(f"reading {key['sk']} of {key['pk']}"):
            answer = self.client.get_item(TableName=self.table, Key=_wire(key), ConsistentRead=True)
        return _plain(answer["Item"]) if "Item" in answer else None

    def _get(self, key: Item, what: str) -> Item:
        item = self._find(key)
        if item is None:
            raise NotFound(f"{what} does not exist")
        return item

    def _put(self, item: Item) -> None:
        with translated(f"writing {item['sk']} of {item['pk']}"):
            self.client.put_item(TableName=self.table, Item=_wire(item))

    def _put_if(
        self,
        item: Item,
        condition: str,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> bool:
        extra: Item = {"ExpressionAttributeNames": dict(names)} if names else {}
        if values:
            extra["ExpressionAttributeValues"] = _wire(values)
        try:
            with translated(f"writing {item['sk']} of {item['pk']}"):
                self.client.put_item(TableName=self.table, Item=_wire(item), ConditionExpression=condition, **extra)
        except ConditionFailed:
            return False
        return True

    def _set(self, key: Item, facts: Mapping[str, Any], held: tuple[str, Any] | None = None) -> bool:
        """False where an attribute has not the value that it is said to have held."""
        names = {f"#{i}": name for i, name in enumerate(facts)}
        values = {f":{i}": value for i, value in enumerate(facts.values())}
        extra: Item = {}
        if held:
            names["#held"], values[":held"] = held
            extra["ConditionExpression"] = "#held = :held"
        try:
            with translated(f"updating {key['sk']} of {key['pk']}"):
                self.client.update_item(
                    TableName=self.table,
                    Key=_wire(key),
                    UpdateExpression="SET " + ", ".join(f"#{i} = :{i}" for i in range(len(facts))),
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=_wire(values),
                    **extra,
                )
        except ConditionFailed:
            return False
        return True

    def _query(
        self, model: str, prefix: str, *, newest_first: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        return self._query_pk(f"MODEL#{model}", prefix, newest_first=newest_first, limit=limit)

    def _query_pk(
        self, pk: str, prefix: str, *, newest_first: bool = False, limit: int | None = None
    ) -> Iterator[Item]:
        condition, values = "pk = :pk", {":pk": pk}
        if prefix:
            condition, values = "pk = :pk AND begins_with(sk, :prefix)", {":pk": pk, ":prefix": prefix}
        with translated(f"listing {prefix or 'items'} of {pk}"):
            pages = self.client.get_paginator("query").paginate(
                TableName=self.table,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=_wire(values),
                ConsistentRead=True,
                ScanIndexForward=not newest_first,
                PaginationConfig={"MaxItems": limit} if limit else {},
            )
            for page in pages:
                yield from (_plain(item) for item in page["Items"])


def content_of(partition: Item) -> str:
    """The content that names a partition."""
    return str(partition["sk"]).removeprefix("PARTITION#")


def end_of(check: Item) -> datetime:
    """Of its window: the key of a check begins with it, so that checks are listed in the order of time."""
    return datetime.fromisoformat(str(check["sk"]).split("#")[1])


def window_of(check: Item) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(str(check["start"])), end_of(check)


def quarantined(checks: Iterable[Item]) -> list[tuple[datetime, datetime]]:
    """Windows whose feed a check found broken."""
    return [window_of(check) for check in checks if check["action"] == "quarantine"]


def _since(sk: str, newest_first: Iterable[Item]) -> list[Item]:
    return list(takewhile(lambda item: str(item["sk"]) >= sk, newest_first))


def _key(model: str, sk: str) -> Item:
    return {"pk": f"MODEL#{model}", "sk": sk}


def _event(model: str, now: datetime, **facts: Any) -> Item:
    moment = now.isoformat(timespec="microseconds")
    told = {name: value for name, value in facts.items() if value is not None}
    return {**_key(model, f"EVENT#{moment}#{facts.get('run', '')}"), "at": _iso(now), **told}


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _wire(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _to_dynamo(value) for name, value in item.items()}


def _plain(item: Mapping[str, Any]) -> Item:
    return {name: _from_dynamo(value) for name, value in item.items()}


def _to_dynamo(value: Any) -> dict[str, Any]:
    """A JSON value as DynamoDB's, which says the type of each; its numbers are decimals, as text."""
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int | float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no number that DynamoDB has")
        return {"N": repr(value)}
    if isinstance(value, str | bytes):
        return {"S" if isinstance(value, str) else "B": value}
    if isinstance(value, Mapping):
        return {"M": _wire(value)}
    return {"L": [_to_dynamo(entry) for entry in value]}


def _from_dynamo(value: Mapping[str, Any]) -> Any:
    ((kind, held),) = value.items()
    if kind == "NULL":
        return None
    if kind == "N":
        return _number(held)
    if kind == "M":
        return _plain(held)
    return [_from_dynamo(entry) for entry in held] if kind == "L" else held


def _number(text: str) -> int | float:
    """A whole number is an int, however it is written."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        return int(number) if number.is_integer() else number
