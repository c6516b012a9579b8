"""Where things are in the buckets; one place, for every function and for the command."""


def spec_key(model: str) -> str:
    return f"specs/{model}.toml"


def partition_prefix(model: str, content: str) -> str:
    return f"datasets/{model}/partitions/{content}/"


def schema_key(model: str, digest: str) -> str:
    return f"datasets/{model}/schemas/{digest}.json"


def dataset_prefix(model: str, dataset: str) -> str:
    return f"datasets/{model}/assembled/{dataset}/"


def candidate_prefix(model: str, run: str, candidate: str) -> str:
    return f"candidates/{model}/{run}/{candidate}/"


def version_prefix(model: str, version: int) -> str:
    return f"models/{model}/{version}/"


def batch_prefix(model: str, name: str, run: str) -> str:
    """Beside the files, and not among them: what is written here must start nothing."""
    return f"batch-results/{model}/{name}/{run}/"


def check_prefix(model: str, check: str) -> str:
    return f"drift/{model}/{check}/"


def outcomes_key(model: str, check: str) -> str:
    return f"{check_prefix(model, check)}outcomes.npy"
