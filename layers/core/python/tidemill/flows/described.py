"""What the endpoint says of all its models: of each the champion's manifest is read, and no graph is loaded for it."""

from collections.abc import Callable
from typing import Any

from tidemill.aws.paths import version_prefix
from tidemill.aws.registry import Champion
from tidemill.aws.stores import Serving
from tidemill.errors import ModelIncompatible, NotFound
from tidemill.schema import Schema
from tidemill.stages.contract import Contract
from tidemill.stages.openapi import document


def openapi(stores: Serving, tell: Callable[[str, str], None]) -> dict[str, Any]:
    """A model that cannot be read is named in it, and keeps no other from being described."""
    contracts, unread = [], []
    for name in stores.registry.models():
        champion = stores.registry.champion(name)
        if champion is None:
            continue
        try:
            contracts.append(_contract(stores, name, champion))
        except (ModelIncompatible, NotFound) as error:
            tell("WARNING", f"model {name} is not in the API's description: {type(error).__name__}: {error}")
            unread.append(name)
    return document(contracts, stores.authorization, unread)


def _contract(stores: Serving, name: str, champion: Champion) -> Contract:
    try:
        manifest = stores.models.get_json(f"{version_prefix(name, champion.version)}manifest.json")
        return Contract(name, champion.version, Schema.from_json(manifest["schema"]))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelIncompatible(f"the manifest of version {champion.version} is not whole: {error!r}") from error
