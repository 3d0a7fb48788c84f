"""Every operator with a gradient has a case in tests/onnx/autograd, or stands in autograd_without.txt with the reason why
PyTorch cannot be asked.

   python3 autograd_complete.py PROGRAM

Of both lists, nothing may be missing and nothing may be left over."""
import json
import os
import subprocess
import sys

program, here = sys.argv[1], os.path.dirname(os.path.abspath(__file__))


def aval(*arguments):
    return subprocess.run([program, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def full_name(op):
    return f"{op['domain']}::{op['name']}" if op["domain"] else op["name"]


def number(data, at):
    """A varint of protobuf, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """Numbers and contents of the fields that have a length: messages and strings."""
    at, fixed = 0, {1: 8, 5: 4}
    while at < len(data):
        key, at = number(data, at)
        if key & 7 == 2:
            length, at = number(data, at)
            yield key >> 3, data[at:at + length]
            at += length
        else:
            at = number(data, at)[1] if key & 7 == 0 else at + fixed[key & 7]


def operators(path):
    """Of a model's nodes: field 7 of ModelProto is the graph, 1 there are nodes, in which 4 is the operator and 7 its domain."""
    with open(path, "rb") as file:
        graph = dict(fields(file.read()))[7]
    for kind, node in fields(graph):
        if kind == 1:
            parts = dict(fields(node))
            yield full_name({"name": parts[4].decode(), "domain": parts.get(7, b"").decode()})


differentiable = {full_name(op) for op in json.loads(aval("ops", "--json")) if op["gradient"] not in ("zero", "none")}
cases = [os.path.join(here, "autograd", name, "model.onnx") for name in sorted(os.listdir(os.path.join(here, "autograd")))]
tested = {op for case in cases for op in operators(case)}
with open(os.path.join(here, "autograd_without.txt")) as file:
    reasons = dict(line.rstrip("\n").split(": ", 1) for line in file if not line.startswith("#"))

complaints = [f"{op} has a gradient, but neither a case nor a reason" for op in sorted(differentiable - tested - set(reasons))]
complaints += [f"{op} has a case and a reason for having none" for op in sorted(tested & set(reasons))]
complaints += [f"{op} has a reason, but is no operator with a gradient" for op in sorted(set(reasons) - differentiable)]
for complaint in complaints:
    print(complaint)
print(f"{len(differentiable)} operators with gradients, {len(differentiable & tested)} in {len(cases)} cases, {len(reasons)} with a reason")
sys.exit(1 if complaints or not tested else 0)
