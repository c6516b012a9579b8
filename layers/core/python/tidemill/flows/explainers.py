"""What explains a version, loaded when the first explanation is asked for."""

from tidemill.aws.objects import Objects
from tidemill.aws.paths import version_prefix
from tidemill.errors import InvalidRequest, ModelIncompatible, NotFound
from tidemill.stages.explain import BACKGROUND, Explainer
from tidemill.stages.serve import ServedModel


def load(models: Objects, model: ServedModel) -> Explainer:
    """Raises `InvalidRequest` for a version that was made before reference rows were kept."""
    if BACKGROUND not in model.digests:
        raise InvalidRequest(
            f"version {model.version} of {model.name} has no reference rows to explain by: predict without 'explain', "
            "or upload again for a version that has them"
        )
    key = f"{version_prefix(model.name, model.version)}{BACKGROUND}"
    try:
        return Explainer(model, models.get(key))
    except (NotFound, ValueError) as error:
        raise ModelIncompatible(f"version {model.version} of {model.name} cannot explain: {error}") from error
