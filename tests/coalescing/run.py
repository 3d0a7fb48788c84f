#!/usr/bin/env python3
"""What 32 neighbouring work-items fetch at a time: each kernel below runs on the host with every access traced (trace.c), and the segments of 128 bytes that it
touches are set against the least that could hold the bytes.

    run.py BUILD [--write-docs]

Compares with docs/coalescing.md; exits with 77 where clang-15 is not installed."""
import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DOCS = os.path.join(ROOT, "docs", "coalescing.md")
CLANG = "clang-15"
SEGMENT = 128
# Not as for a CPU, where kernels take other ways.
LANGUAGE = ["-x", "cl", "-cl-std=CL1.2", "-target", "x86_64-linux-gnu", "-Xclang", "-finclude-default-header", "-w", "-U__x86_64__", "-U__aarch64__"]
# One access of the source is one access here: nothing is put together or taken apart.
PLAIN = ["-O1", "-fPIC", "-fno-vectorize", "-fno-slp-vectorize", "-fsanitize-coverage=trace-pc-guard,trace-loads,trace-stores"]

TAPS = [1, 3, 3]


def product(m, n, k, a_transposed=False, b_transposed=False, patches=None, split=1, defines=()):
    """gemm_groups in tiles of 64 x 64."""
    a = [0, 0, 1, m] if a_transposed else [0, 0, k, 1]
    sides = {"SIDE": 16, "BLOCKS": 1, "TK": 16, "A_ALONG_K": int(not a_transposed), "B_ALONG_K": int(b_transposed), "PATCHES": int(patches is not None)}
    if patches:
        channels, size = patches
        out = size
        b = [0, 0, int(b_transposed), 1, size, size, *TAPS, 1, 1, 1, 0, 1, 1, 1, 1, 1, out, out]
        b_count = channels * size * size
    else:
        b, b_count = [0, 0, *([1, k] if b_transposed else [n, 1])], k * n
    args = [("c", m * n), 0, 0, 0, n, ("a", m * k), 0, *a, ("b", b_count), 0, *b, m, n, k, 1, 1, (k + 15) // 16, 1.0, 0.0]
    tiles = [(n + 63) // 64 * 16, (m + 63) // 64 * 16, 1]
    return {"file": "gemm_groups.cl", "kernel": "gemm_groups", "defines": {**sides, **dict(defines)}, "args": args, "global": tiles, "local": [16, 16, 1]}


def by_rows(file, kernel, rows, args):
    return {"file": file, "kernel": kernel, "defines": {"WG": 64}, "args": args, "global": [rows * 64, 1, 1], "local": [64, 1, 1]}


def eight(row, column, others=0):
    """A number for each of eight axes."""
    return [*[others] * 6, row, column]


def walk(rows, columns):
    """Arguments of a walk over a matrix (kernels/walk.clh), an element a work-item."""
    return [rows * columns, 1, columns, 1, *eight(rows, columns, others=1)]


def each(file, kernel, items, args, **defines):
    return {"file": file, "kernel": kernel, "defines": defines, "args": args, "global": [(items + 63) // 64 * 64, 1, 1], "local": [64, 1, 1]}


IMAGE = [1, 32, 32, *TAPS, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 32, 32]
# What is run, by the title of its rows.  Arguments are (name, elements) for a buffer of four-byte elements, and numbers.
CASES = {
    "product, rows of a and b": product(128, 128, 64),
    "product, a transposed": product(128, 128, 64, a_transposed=True),
    "product, b transposed": product(128, 128, 64, b_transposed=True),
    "convolution, from patches": product(64, 1024, 72, patches=(8, 32)),
    "its gradient by the filters": product(64, 72, 1024, b_transposed=True, patches=(8, 32)),
    "parts of a product": {
        "file": "gemm_groups.cl", "kernel": "add_parts", "defines": {}, "global": [64 * 64, 1, 1], "local": [64, 1, 1],
        "args": [("c", 64 * 64), 0, 0, 0, 64, ("parts", 4 * 64 * 64), 0, 64, 64, 4, 1.0, 0.0],
    },
    "softmax of rows": by_rows("softmax.cl", "softmax_forward", 8, [("x", 8 * 1024), 0, ("y", 8 * 1024), 0, 8, 1, 1024, 1, 0]),
    "softmax of rows, backward":
        by_rows("softmax.cl", "softmax_backward", 8, [("y", 8 * 1024), 0, ("g", 8 * 1024), 0, ("dx", 8 * 1024), 0, 8, 1, 1024, 1, 0]),
    "layer normalisation":
        by_rows("row_norm.cl", "norm_rows", 8, [("x", 8 * 1024), 0, ("scale", 1024), 0, ("bias", 1024), 0, ("y", 8 * 1024), 0, ("mean", 8), 0, ("inverse", 8), 0,
                                                8, 1, 1024, 1, 1024, 1, 1e-5]),
    "gather of rows": each("index.cl", "gather", 16 * 64, [("x", 64 * 64), 0, ("indices", 32), 0, ("y", 16 * 64), 0, *walk(16, 64), *eight(1, 0),
                                                           *eight(0, 1), 64, *[0] * 7, 64, *[0] * 7], S_TYPE=6, WG=64, AXES=2),
    "copy of a box": each("shape.cl", "copy_box", 4096, [("to", 4096), 0, ("from", 8192), 0, 0, 0, *walk(64, 64), *eight(64, 1), *eight(128, 1)], WG=64, AXES=2),
    "transposition": each("shape.cl", "copy_box", 4096, [("to", 4096), 0, ("from", 4096), 0, 0, 0, *walk(64, 64), *eight(64, 1), *eight(1, 64)], WG=64, AXES=2),
    "padding": each("shape.cl", "pad", 4096, [("x", 62 * 62), 0, ("value", 1), 0, ("y", 4096), 0, 1, *walk(64, 64), *eight(62, 62, others=1), *eight(1, 1)], WG=64, AXES=2),
    "sums of rows": by_rows("reduce.cl", "reduce_any", 8, [("x", 8 * 1024), 0, ("y", 8), 0, 8, 1024, 1, 1024, 1, 1, 8, 0, 0, 0, 1024, 1, 1, 1024, 0, 0, 0, 1, 1.0, 1]),
    "largest of windows": {
        "file": "pool.cl", "kernel": "max_pool", "defines": {"RUN": 1}, "global": [1024, 1, 1], "local": [64, 1, 1],
        "args": [("x", 1024), 0, ("y", 1024), 0, ("places", 2048), 0, 0, *IMAGE],
    },
    "images to columns": {
        "file": "columns.cl", "kernel": "images_to_columns", "defines": {"RUN": 1}, "global": [1024, 9, 1], "local": [64, 1, 1],
        "args": [("x", 1024), 0, ("columns", 9 * 1024), 0, *IMAGE],
    },
    "columns to images": {
        "file": "columns.cl", "kernel": "columns_to_images", "defines": {"RUN": 1}, "global": [1024, 1, 1], "local": [64, 1, 1],
        "args": [("columns", 9 * 1024), 0, ("x", 1024), 0, *IMAGE],
    },
}


def call(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr[:3000]}")
    return done.stdout


def parameter_types(text, kernel):
    """Types of a kernel's parameters, out of its preprocessed source."""
    found = re.search(rf"\b{kernel}\s*\(([^)]*)\)\s*\{{", text)
    return [re.sub(r"\w+\s*$", "", parameter).replace("restrict", "").strip() for parameter in found.group(1).split(",")]


def build(case, folder, number):
    defines = [f"-D{name}={value}" for name, value in case["defines"].items()]
    source, out = os.path.join(folder, f"{number}.cl"), os.path.join(folder, f"{number}.so")
    text = f'#include "{HERE}/builtins.cl"\n#include "{ROOT}/kernels/{case["file"]}"\n'
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    whole = call([CLANG, *LANGUAGE, *defines, f"-I{ROOT}/kernels", "-E", "-P", source])
    types = parameter_types(whole, case["kernel"])
    values = ", ".join(f"*(__global {kind.replace('__global', '')} *)(block + {8 * i})" if "*" not in kind else f"*({kind} __global *)(block + {8 * i})"
                       for i, kind in enumerate(types))
    with open(source, "a", encoding="utf-8") as file:
        file.write(f"void traced(__global uchar *block) {{ {case['kernel']}({values}); }}\n")
    call([CLANG, *LANGUAGE, *PLAIN, *defines, f"-I{ROOT}/kernels", "-c", source, "-o", out + ".o"])
    call(["cc", "-O2", "-fPIC", "-shared", "-w", os.path.join(HERE, "trace.c"), out + ".o", "-lm", "-o", out])
    return ctypes.CDLL(out), types


def run(case, folder, number):
    """[(name, read or written, taken, least)]; the name of local memory is "local"."""
    library, types = build(case, folder, number)
    assert len(types) == len(case["args"]), f"{case['kernel']}: {len(types)} parameters, {len(case['args'])} arguments"
    block, buffers, names = ctypes.create_string_buffer(4096), [], []
    for i, (kind, value) in enumerate(zip(types, case["args"])):
        if isinstance(value, tuple):
            bytes_of = value[1] * 4
            memory = ctypes.create_string_buffer(bytes_of + SEGMENT)
            start = (ctypes.addressof(memory) + SEGMENT - 1) // SEGMENT * SEGMENT
            buffers.append((memory, start, bytes_of))
            names.append(value[0])
            value, c_type = start, ctypes.c_uint64
        else:
            c_type = ctypes.c_int64 if "long" in kind else ctypes.c_float if "float" in kind else ctypes.c_int32
        c_type.from_buffer(block, 8 * i).value = value
    three, n = ctypes.c_uint64 * 3, len(buffers)
    found = (ctypes.c_uint64 * (4 * (n + 1)))()
    library.trace_launch(library.traced, block, three(*case["global"]), three(*case["local"]), (ctypes.c_uint64 * n)(*[b[1] for b in buffers]),
                         (ctypes.c_uint64 * n)(*[b[2] for b in buffers]), n, found)
    rows = []
    for i, name in enumerate([*names, "local"]):
        for j, way in enumerate(("read", "written")):
            taken, least = found[4 * i + 2 * j], found[4 * i + 2 * j + 1]
            if least:
                rows.append((name, way, taken, least))
    return rows


PAGE = """# What neighbouring work-items fetch together

Made by `tests/coalescing/run.py BUILD --write-docs` and held by `tests/vendors/run.sh`: kernels run on the host, and every access is traced. An access of 32 neighbouring
work-items touches segments of 128 bytes; `taken` counts them over the whole launch, `least` counts what would hold as many bytes. Rows of local memory count the turns that 32
banks of four bytes need. 1.00 is the best. Rows of images that begin between segments cost more, and so do operands of products that are walked along k, 64 bytes of a row at a time: the
next step reads the other half of each segment, from the cache where there is one. Transposing reads a segment an element: copy_box has no tile in local memory yet.

| what | kernel | memory | taken | least | ratio |
| --- | --- | --- | --- | --- | --- |
"""


def main():
    if shutil.which(CLANG) is None:
        print(f"coalescing: left out, {CLANG} is not installed")
        return 77
    page = PAGE
    with tempfile.TemporaryDirectory() as folder:
        for number, (title, case) in enumerate(CASES.items()):
            rows = run(case, folder, number)
            assert rows, f"{title}: nothing was traced"
            for name, way, taken, least in rows:
                page += f"| {title} | {case['kernel']} | {name}, {way} | {taken} | {least} | {taken / least:.2f} |\n"
    if "--write-docs" in sys.argv[2:]:
        with open(DOCS, "w", encoding="utf-8") as file:
            file.write(page)
    with open(DOCS, encoding="utf-8") as file:
        known = file.read().splitlines()
    wrong = [line for line in page.splitlines() if line not in known] + [line for line in known if line not in page.splitlines()]
    for line in wrong:
        print("coalescing: differs from docs/coalescing.md: " + line)
    print(f"coalescing: {page.count(chr(10)) - PAGE.count(chr(10))} rows of {len(CASES)} launches, {len(wrong)} lines that differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
