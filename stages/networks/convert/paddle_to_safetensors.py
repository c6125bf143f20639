#!/usr/bin/env python3
"""Converts weights of Paddle (.pdparams) to safetensors with the names that this project's networks have.

Usage: ./paddle_to_safetensors.py IN.pdparams OUT.safetensors [--prefix PREFIX]

For networks built on paddle.vision's ResNet, such as the reference example's. What is changed:
- `_mean`, `_variance` of batch norms become `running_mean`, `running_var`;
- weights of linear layers, `[in, out]` in Paddle, are transposed;
- where there is an `fc_dcase`, it is the last layer: it becomes `fc`, and the `fc` of the pre-training, unused there, is left out;
- PREFIX is taken off every name, where given.

A .pdparams is a pickle, and a pickle can run any program: this reader knows nothing but dictionaries and numpy arrays, and refuses
everything else. Needs numpy; neither Paddle nor the safetensors package.
"""
import argparse
import json
import pickle
import struct
import sys
from collections import OrderedDict

import numpy as np

try:
    from numpy._core import multiarray
except ImportError:  # numpy 1
    from numpy.core import multiarray


class Restricted(pickle.Unpickler):
    KNOWN = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("collections", "OrderedDict"): OrderedDict,
    }

    def find_class(self, module, name):
        if (module, name) in self.KNOWN:
            return self.KNOWN[module, name]
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name in ("_reconstruct", "scalar"):
            return getattr(multiarray, name)
        if (module, name) == ("numpy._core.numeric", "_frombuffer") or (module, name) == ("numpy.core.numeric", "_frombuffer"):
            return lambda buffer, dtype, shape, order: np.frombuffer(buffer, dtype).reshape(shape, order=order)
        if (module, name) == ("_codecs", "encode"):
            return lambda text, encoding: text.encode(encoding) if encoding in ("latin1", "latin-1") else refuse(encoding)
        refuse(f"{module}.{name}")


def refuse(what):
    raise pickle.UnpicklingError(f"{what} has no place in a file of weights")


def read(path):
    with open(path, "rb") as f:
        state = Restricted(f, encoding="latin1").load()
    if not isinstance(state, dict):
        sys.exit(f"{path}: holds a {type(state).__name__}, not a dictionary of weights")
    if "UnpackBigParamInfor@@" in state:
        sys.exit(f"{path}: holds parameters in slices; save it again with paddle.save(..., protocol=4)")
    arrays = {}
    for name, value in state.items():
        if name == "StructuredToParameterName@@":
            continue
        # Paddle also writes pairs (name, array).
        value = value[1] if isinstance(value, tuple) and len(value) == 2 else value
        if not isinstance(value, np.ndarray):
            sys.exit(f"{path}: {name} is a {type(value).__name__}, not an array: is this an optimiser's file (.pdopt)?")
        arrays[name] = value
    if not arrays:
        sys.exit(f"{path}: holds no weights")
    return arrays


def convert(arrays, prefix):
    out = {}
    scene = any(name.startswith(prefix + "fc_dcase.") for name in arrays)
    for name, value in arrays.items():
        if not name.startswith(prefix):
            sys.exit(f"{name} does not begin with {prefix}")
        name = name[len(prefix):]
        if scene and name.startswith("fc."):
            continue
        name = name.replace("fc_dcase.", "fc.", 1) if name.startswith("fc_dcase.") else name
        for paddle, ours in [("._mean", ".running_mean"), ("._variance", ".running_var")]:
            name = name[: -len(paddle)] + ours if name.endswith(paddle) else name
        value = np.asarray(value, dtype="<f4")
        if not np.isfinite(value).all():
            sys.exit(f"{name} holds values that are not finite: the file is damaged")
        out[name] = np.ascontiguousarray(value.T if value.ndim == 2 else value)
    return out


def write(path, arrays):
    header, offset = {}, 0
    for name in sorted(arrays):
        size = arrays[name].nbytes
        header[name] = {"dtype": "F32", "shape": list(arrays[name].shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(arrays):
            f.write(arrays[name].tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pdparams")
    parser.add_argument("safetensors")
    parser.add_argument("--prefix", default="", help="taken off every name")
    args = parser.parse_args()
    arrays = convert(read(args.pdparams), args.prefix)
    write(args.safetensors, arrays)
    print(f"{len(arrays)} tensors, {sum(a.size for a in arrays.values())} numbers")


if __name__ == "__main__":
    main()
