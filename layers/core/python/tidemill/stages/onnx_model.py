"""The artifact that serves: an ONNX graph with one float32 input, run by ONNX Runtime alone."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from tidemill.encoding import Matrix
from tidemill.errors import ModelIncompatible

INPUT = "X"


class OnnxModel:
    """Probabilities (n, classes) or values (n,) for an encoded matrix (n, k)."""

    def __init__(self, graph: bytes) -> None:
        options = onnxruntime.SessionOptions()
        # One thread: a single row is too little work to share, and a function has about one core.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                graph, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelIncompatible(f"the ONNX artifact does not load: {error}") from error
        self._output = self._session.get_outputs()[-1].name

    @property
    def width(self) -> int:
        """How many columns the graph wants."""
        return int(self._session.get_inputs()[0].shape[1])

    def predict(self, matrix: Matrix) -> npt.NDArray[np.float64]:
        result = self._session.run([self._output], {INPUT: matrix})[0]
        values = np.asarray(result, dtype=np.float64)
        return values if values.ndim == 2 and values.shape[1] > 1 else values.reshape(-1)
