"""Times single-precision products of OpenBLAS: worker_openblas.py "M x N x K"...  Debian's library where it is installed, else numpy's."""
import ctypes
import ctypes.util
import json
import sys
import time

import numpy

LEAST, SECONDS = 7, 0.5


def library():
    for name in ("libopenblas.so.0", ctypes.util.find_library("openblas")):
        try:
            return ctypes.CDLL(name) if name else None
        except OSError:
            continue
    return None


def product(blas, a, b, c):
    if blas is None:
        return lambda: numpy.matmul(a, b, out=c)
    m, k, n = a.shape[0], a.shape[1], b.shape[1]
    at = lambda x: x.ctypes.data_as(ctypes.c_void_p)
    row_major, plain, one, zero = 101, 111, ctypes.c_float(1), ctypes.c_float(0)
    return lambda: blas.cblas_sgemm(row_major, plain, plain, m, n, k, one, at(a), k, at(b), n, zero, at(c), n)


def main():
    blas, rows = library(), []
    for shape in sys.argv[1:]:
        m, n, k = (int(x) for x in shape.split(" x "))
        a, b = (numpy.random.rand(*s).astype(numpy.float32) for s in ((m, k), (k, n)))
        multiply, times = product(blas, a, b, numpy.empty((m, n), numpy.float32)), []
        for _ in range(3):
            multiply()
        start = time.perf_counter()
        while len(times) < LEAST or time.perf_counter() - start < SECONDS:
            begin = time.perf_counter()
            multiply()
            times.append(1e3 * (time.perf_counter() - begin))
        times.sort()
        rows.append({"name": "OpenBLAS" if blas else "numpy", "shape": shape, "median_ms": times[len(times) // 2], "min_ms": times[0],
                     "max_ms": times[-1]})
    print(json.dumps(rows))


main()
