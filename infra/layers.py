"""The layers: `core` and `estimators` are our code, the others are locked third-party packages."""

from pathlib import Path

from aws_cdk import Annotations, Stack
from aws_cdk.aws_lambda import Code, LayerVersion, Runtime, RuntimeFamily
from constructs import Construct

from infra import bundling
from infra.config import Environment
from infra.functions import ARCHITECTURES, NOT_SHIPPED
from infra.packages import DEPENDENCY_LAYERS, OWN_LAYERS
from infra.stages import Stage


class Layers(Construct):
    """Built, and weighed against Lambda's limit, when the stack is bundled; otherwise small source folders."""

    def __init__(self, scope: Construct, name: str, *, root: Path, environment: Environment) -> None:
        super().__init__(scope, name)
        self._by_name = {
            layer: LayerVersion(
                self,
                layer.title(),
                description=f"Tidemill {environment.name}: {layer}",
                code=code,
                compatible_runtimes=[Runtime(environment.runtime, RuntimeFamily.PYTHON)],
                compatible_architectures=[ARCHITECTURES[environment.architecture]],
            )
            for layer, code in self._contents(root, environment).items()
        }

    def of(self, stage: Stage) -> list[LayerVersion]:
        return [self._by_name[layer] for layer in stage.all_layers]

    def _contents(self, root: Path, environment: Environment) -> dict[str, Code]:
        # The local cloud runs handlers with the interpreter's own packages: built layers would only shadow them.
        if Stack.of(self).bundling_required and environment.name != "local":
            bundle = bundling.build(environment.target, root)
            bundling.check(bundle, root)
            if bundle.byte_code is None:
                Annotations.of(self).add_warning_v2("tidemill:byte-code", bundling.no_byte_code(environment.target))
            return {
                # Named by what it holds: where another zlib made the zip, nothing is deployed anew.
                layer: Code.from_asset(str(bundle.archive(layer)), asset_hash=digest)
                for layer, digest in bundle.digests.items()
            }
        return {
            layer: Code.from_asset(str(root / "layers" / layer), exclude=NOT_SHIPPED)
            for layer in (*OWN_LAYERS, *DEPENDENCY_LAYERS)
        }
