"""What a model's spec says at present: of a run all of it, and of a version that serves how it is watched."""

from dataclasses import replace

from tidemill.aws.objects import Objects
from tidemill.aws.paths import spec_key
from tidemill.errors import InvalidInput, InvalidSpec, InvalidUpload, NotFound
from tidemill.spec import ModelSpec, parse_spec


def read_spec(model: str, data: Objects) -> tuple[str, ModelSpec]:
    """The spec's text and the spec; raises `InvalidUpload` with the command that writes one."""
    try:
        text = data.get(spec_key(model)).decode()
    except UnicodeDecodeError as error:
        raise InvalidSpec(f"the spec of {model!r} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except NotFound:
        remedy = f"write one with `tidemill init {model} FILE --target COLUMN`, then upload again"
        raise InvalidUpload(f"model {model!r} has no spec: {remedy}") from None
    return text, parse_spec(text)


def watched_by(model: str, trained: ModelSpec, data: Objects) -> tuple[ModelSpec, str]:
    """The spec that a version was `trained` under, with what the present one says of checks and retrains; and why the
    present one could not be read, where it could not."""
    try:
        now = read_spec(model, data)[1]
    except InvalidInput as error:
        return trained, f"by the spec that the champion was trained under, since {error.problems[0]}"
    return replace(trained, quality=now.quality, monitor=now.monitor, retrain=now.retrain), ""
