#!/usr/bin/env python3
"""The binary interface that a plugin.h describes, as lines of text: offsets and sizes of members, numbers of names.

    layout.py HEADER COMPILER              prints them
    layout.py OLD COMPILER NEW             fails when a line of OLD is not in NEW: something moved, shrank or went

What may grow is left out: sizes of structs that begin with their size, and the count of element types.  The lines come from a C program that
is made from the header's own declarations, so a member that is added is listed without anybody listing it."""
import os
import re
import subprocess
import sys
import tempfile

GROWS = {"AVAL_TYPES", "AVAL_PLUGIN_ABI"}


def members(body):
    """Names of the members of a struct, in order."""
    for declaration in body.split(";"):
        declaration = " ".join(declaration.split())
        pointer = re.search(r"\(\*(\w+)\)\(", declaration)  # a function pointer
        if pointer:
            yield pointer.group(1)
        elif declaration:
            first, *more = declaration.split(",")
            for name in [first.split()[-1], *more]:
                yield re.sub(r"\[.*|[*\s]", "", name)


def program(header, path):
    code = re.sub(r"/\*.*?\*/", " ", header, flags=re.S).replace("\\\n", " ")
    yield f'#include "{path}"\n#include <stdio.h>\nint main(void) {{'
    for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\} \1;", code, flags=re.S):
        names = list(members(body))
        for member in names:
            yield f'printf("{name}.{member} at %zu, %zu bytes\\n", offsetof({name}, {member}), sizeof((({name} *)0)->{member}));'
        if "size" not in names:
            yield f'printf("{name} %zu bytes\\n", sizeof({name}));'
    for body in re.findall(r"enum(?: \w+)? \{(.*?)\}", code, flags=re.S):
        for name in re.findall(r"\b(AVAL_\w+)\s*=", body):
            if name not in GROWS:
                yield f'printf("{name} %lld\\n", (long long){name});'
    for name, value in re.findall(r"^#define (AVAL_\w+) +(\(?-?\d\w*\)?) *$", code, flags=re.M):
        if name not in GROWS:
            yield f'printf("{name} %lld\\n", (long long){name});'
    yield "return 0; }"


def lines(path, compiler):
    path = os.path.abspath(path)
    with open(path) as header:
        text = header.read()
    for part in re.findall(r'^#include "(\w+\.h)"', text, flags=re.M):  # beside it: a header that became two is one interface
        with open(os.path.join(os.path.dirname(path), part)) as header:
            text += header.read()
    with tempfile.TemporaryDirectory() as folder:
        source, binary = os.path.join(folder, "layout.c"), os.path.join(folder, "layout")
        with open(source, "w") as out:
            out.write("\n".join(program(text, path)))
        subprocess.run([compiler, "-std=c11", source, "-o", binary], check=True)
        found = subprocess.run([binary], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    assert len(found) > 200, "the header was not understood"
    return found


old = lines(sys.argv[1], sys.argv[2])
if len(sys.argv) < 4:
    print("\n".join(old))
    sys.exit(0)
new = set(lines(sys.argv[3], sys.argv[2]))
gone = [line for line in old if line not in new]
print(f"{len(old)} lines of {sys.argv[1]}, {len(gone)} of them not in {sys.argv[3]}", *gone, sep="\n  ")
sys.exit(1 if gone else 0)
