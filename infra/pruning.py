"""What of the installed packages no function of ours needs: tests, headers, sources, and a few large rarities."""

import re
from pathlib import Path

_PRUNED_FOLDERS = {"__pycache__", "include", "includes", "test", "tests"}
_PRUNED_SUFFIXES = {
    *(".a", ".c", ".cc", ".cpp", ".f", ".f90", ".h", ".hpp"),
    *(".proto", ".pxd", ".pxi", ".pyi", ".pyx", ".tp"),
}
# libarrow_substrait stays: lib.so links it.
_PRUNED_PATHS = re.compile(
    r"bin/|share/"
    r"|pyarrow/src/|pyarrow/_(azurefs|dataset_orc|flight|gcsfs|hdfs|orc|pyarrow_cpp_tests|s3fs)\."
    r"|pyarrow/lib\w*(_flight|_s3)\."
    # A wheel has no symbolic links: of three copies the one stays that the others link by name, `….so.<abi>`.
    r"|pyarrow/libarrow_python\w*\.so(\.\d+\.\d+\.\d+)?$"
    # The C library of its own: the Python module has the same code inside.
    r"|onnxruntime/capi/libonnxruntime\.so"
    # Tests that are compiled.
    r"|numpy/_core/(_simd|_\w+_tests)\.|scipy/conftest\.py$"
    # No other part of scipy imports these, nor does scikit-learn, but for Matrix Market files.
    r"|scipy/(datasets|fftpack|odr|signal)/|scipy/io/_fast_matrix_market/_fmm_core\."
    # Not needed to fit, to convert or to run.
    r"|onnx/(backend|fuzz|reference)/|onnxruntime/(quantization|tools|transformers)/|sklearn/datasets/(data|descr|images)/"
    # Written by pip for itself, and no longer true once pruned.
    r"|[^/]+\.dist-info/(INSTALLER|RECORD|REQUESTED|direct_url\.json)$"
)


def prune(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        name = path.relative_to(folder)
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif (
            _PRUNED_FOLDERS.intersection(name.parts[:-1])
            or path.suffix in _PRUNED_SUFFIXES
            or _PRUNED_PATHS.match(name.as_posix())
        ):
            path.unlink()
