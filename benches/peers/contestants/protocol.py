"""How a contestant is asked: one process each, kept alive and warm, one JSON request per line of input, one JSON answer per line of output.

The first answer comes unasked, when everything is loaded: {"ready": {...}} with versions and whatever the page should say. A request is an
object that the contestant's function receives; the answer is {"wall": seconds, ...what it returned} or {"error": ...}. Only the work between
two requests is timed, so that neither imports nor the loading of a model count. CPU time is read by the asker, from outside.
"""
import json
import os
import sys
import time
import traceback


def serve(ready, answer):
    """`ready()` loads everything and returns (facts, state); `answer(state, request)` works and returns a dictionary."""
    # Libraries print to standard output as they like; the answers have it to themselves.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        facts, state = ready()
    except Exception as error:  # an import that fails, most of all
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=out)
        return
    print(json.dumps({"ready": facts}), file=out)
    for line in sys.stdin:
        try:
            request = json.loads(line)
            start = time.perf_counter()
            result = answer(state, request) or {}
            result.setdefault("wall", time.perf_counter() - start)
        except Exception as error:
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), file=out)


def save(array, path):
    """Raw values of an array, and what to read them as."""
    import numpy as np
    array = np.ascontiguousarray(array)
    array.tofile(path)
    return {"shape": list(array.shape), "dtype": array.dtype.str}
