"""What an Open Inference Protocol client says and hears: `python v2_asks.py HOST:PORT/PATH`, run by `v2_client`.

Runs where tritonclient is installed, and nothing of ours.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

MODEL = "trips"


def tensor(name: str, values: Sequence[Any], *, binary: bool = False) -> InferInput:
    array = np.array(values)
    datatype = {"f": "FP64", "i": "INT64", "b": "BOOL"}.get(array.dtype.kind, "BYTES")
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array.astype(object) if datatype == "BYTES" else array, binary_data=binary)
    return made


def main(url: str) -> None:
    client = InferenceServerClient(url)
    print("server", json.dumps(client.get_server_metadata()))
    print("live", client.is_server_live(), "ready", client.is_server_ready(), MODEL, client.is_model_ready(MODEL))
    metadata = client.get_model_metadata(MODEL)
    for kind in ("inputs", "outputs"):
        print(kind, ", ".join(f"{one['name']} {one['datatype']}{one['shape']}" for one in metadata[kind]))

    tensors = [
        tensor("trip", ["a1", "a2"]),
        tensor("distance", [120.5, 300.0]),
        tensor("wind", [[1], [99]]),
        tensor("carrier", ["cedar", "elm"]),
    ]
    result = client.infer(MODEL, tensors, request_id="mine")
    for name in ("id", "prediction", "probabilities"):
        print(name, result.as_numpy(name).tolist())
    print("warnings", result.get_response()["parameters"]["warnings"])
    wanted = [InferRequestedOutput("prediction", binary_data=False)]
    print("one output", client.infer(MODEL, tensors, outputs=wanted).as_numpy("prediction").tolist())

    for what, refused in {
        "bytes": [tensor("distance", [1.0], binary=True)],
        "a number that is missing": [tensor("distance", [float("nan")])],
    }.items():
        try:
            client.infer(MODEL, refused)
        except InferenceServerException as error:
            print(f"{what}:", error)


if __name__ == "__main__":
    main(sys.argv[1])
