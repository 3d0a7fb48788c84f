"""Times single-precision products of Debian's OpenBLAS: worker_openblas.py "M x N x K"...  Needs nothing but the library (libopenblas0-pthread)."""
import array
import ctypes
import json
import random
import sys
import time

LEAST, SECONDS = 7, 0.5
ROW_MAJOR, PLAIN = 101, 111
REAL = ctypes.c_float


def matrix(rows, columns):
    """Random elements; they repeat, which costs no time and changes none."""
    some = array.array("f", (random.random() for _ in range(4093)))
    return (REAL * (rows * columns)).from_buffer((some * (rows * columns // len(some) + 1))[: rows * columns])


def main():
    blas, rows = ctypes.CDLL("libopenblas.so.0"), []
    for shape in sys.argv[1:]:
        m, n, k = (int(x) for x in shape.split(" x "))
        a, b, c = matrix(m, k), matrix(k, n), matrix(m, n)
        multiply = lambda: blas.cblas_sgemm(ROW_MAJOR, PLAIN, PLAIN, m, n, k, REAL(1), a, k, b, n, REAL(0), c, n)
        times = []
        for _ in range(3):
            multiply()
        start = time.perf_counter()
        while len(times) < LEAST or time.perf_counter() - start < SECONDS:
            begin = time.perf_counter()
            multiply()
            times.append(1e3 * (time.perf_counter() - begin))
        times.sort()
        rows.append({"name": "OpenBLAS", "shape": shape, "median_ms": times[len(times) // 2], "min_ms": times[0], "max_ms": times[-1]})
    print(json.dumps(rows))


main()
