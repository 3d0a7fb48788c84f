"""Writes files of the formats that aval reads, the good and the bad, without any library: for seeds of the fuzzers (seeds.py) and for
tests of the program on hostile files (tests/system/hostile.py)."""
import gzip
import io
import json
import struct
import zipfile
import zlib

FLOAT, INT64, BOOL, STRING = 1, 7, 9, 8


# ---- protobuf: a message is the bytes of its fields ----
def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while True:
        out.append(n & 127 | (128 if n > 127 else 0))
        n >>= 7
        if not n:
            return bytes(out)


def field(number, value):
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(number, values):
    return b"".join(field(number, v) for v in values)


# ---- ONNX ----
def tensor(name, kind, dims, raw=None, more=b""):
    return (fields(1, dims) + field(2, kind) + (field(8, name) if name else b"") + (field(9, raw) if raw is not None else b"") + more)


def floats(name, dims, values):
    return tensor(name, FLOAT, dims, struct.pack(f"<{len(values)}f", *values))


def ints(name, values):
    return tensor(name, INT64, [len(values)], struct.pack(f"<{len(values)}q", *values))


def external(name, dims, **entries):
    more = b"".join(field(13, field(1, k) + field(2, v)) for k, v in entries.items()) + field(14, 1)
    return tensor(name, FLOAT, dims, None, more)


def attribute(name, value):
    head = field(1, name)
    if isinstance(value, float):
        return head + field(2, value) + field(20, 1)
    if isinstance(value, int):
        return head + field(3, value) + field(20, 2)
    if isinstance(value, str):
        return head + field(4, value) + field(20, 3)
    if isinstance(value, bytes):  # a graph
        return head + field(6, value) + field(20, 5)
    if isinstance(value, tuple):  # a tensor
        return head + field(5, value[0]) + field(20, 4)
    if value and isinstance(value[0], float):
        return head + fields(7, value) + field(20, 6)
    return head + fields(8, value) + field(20, 7)


def node(op, inputs, outputs, domain="", **attributes):
    return (fields(1, inputs.split()) + fields(2, outputs.split()) + field(4, op)
            + b"".join(field(5, attribute(k, v)) for k, v in attributes.items()) + (field(7, domain) if domain else b""))


def value(name, dims, kind=FLOAT):
    shape = b"".join(field(1, field(2, d) if isinstance(d, str) else field(1, d)) for d in dims)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def graph(nodes, initializers=(), inputs=(), outputs=()):
    return fields(1, nodes) + field(2, "g") + fields(5, initializers) + fields(11, inputs) + fields(12, outputs)


def function(name, inputs, outputs, nodes):
    return (field(1, name) + fields(4, inputs.split()) + fields(5, outputs.split()) + fields(7, nodes) + field(9, field(2, 13))
            + field(10, "local"))


def model(nodes, initializers=(), inputs=(), outputs=(), version=13, functions=()):
    return (field(1, 8) + field(7, graph(nodes, initializers, inputs, outputs)) + field(8, field(1, "") + field(2, version))
            + field(8, field(1, "local") + field(2, 1)) + fields(25, functions))


# ---- safetensors, NPY, NPZ, IDX ----
def safetensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def npy(shape, descr="<f4", data=None, order=False, version=1):
    text = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"
    width = "<H" if version == 1 else "<I"
    text = (text + " " * (-(8 + struct.calcsize(width) + len(text) + 1) % 64) + "\n").encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack(width, len(text)) + text + (b"\0" * 8 if data is None else data)


def npz(members, method=zipfile.ZIP_DEFLATED, zip64=False):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            about = zipfile.ZipInfo(name)  # of a fixed date
            about.compress_type = method
            with archive.open(about, "w", force_zip64=zip64) as member:
                member.write(content)
    return out.getvalue()


def idx(dims, data, kind=8):
    return bytes([0, 0, kind, len(dims)]) + b"".join(struct.pack(">I", d) for d in dims) + data


def gz(data):
    return gzip.compress(data, mtime=0)


# ---- PNG ----
def png(width, height, depth, color, rows, palette=b"", interlaced=0):
    """`rows`: of bytes, without their filters."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, depth, color, 0, 0, interlaced)) +
            (chunk(b"PLTE", palette) if palette else b"") + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows))) + chunk(b"IEND", b""))
