"""What was measured, as tables: the page docs/kernels.md, the comparison with it, and a summary."""

import re

TYPES = {"1": "float", "2": "uint8", "3": "int8", "4": "uint16", "5": "int16", "6": "int32", "7": "int64", "9": "bool", "10": "half", "11": "double",
         "12": "uint32", "13": "uint64"}
GENERATED = "generated"
# Registers may differ from the page by so many, or by so large a part, before that is a regression: other versions of a compiler allocate
# otherwise.
REGISTERS_MARGIN, REGISTERS_PART = 8, 0.25
WRITE = "if that is meant: tests/vendors/run.sh BUILD --write-docs"


def type_of(variant):
    if variant["name"] == "fused":
        return "double" if variant["fp64"] else "others"
    return next(TYPES[o[len("-DS_TYPE=") :]] for o in variant["options"] if o.startswith("-DS_TYPE="))


class Table:
    """rows[file, kernel, type][target]: the largest figures (the least occupancy) of all variants and of all generated kernels."""

    def __init__(self, results):
        self.rows, self.targets, self.vendors = {}, {}, {}
        self.generated = set()
        for variant, compiler, result in results:
            for target, kernels in result["targets"].items():
                self.targets[target] = compiler.vendor
                for name in variant["kernels"]:
                    if name in kernels:
                        self.add(variant, name, target, kernels[name])

    def add(self, variant, name, target, figures):
        fused = variant["name"] == "fused"
        key = (GENERATED, "fused", type_of(variant)) if fused else (variant["name"], name, type_of(variant))
        if fused:
            self.generated.add((variant["file"], name))
        worst = self.rows.setdefault(key, {}).setdefault(target, dict(figures))
        for figure, value in figures.items():
            worst[figure] = (min if figure == "occupancy" else max)(worst[figure], value)

    def of(self, vendor):
        return [target for target, its in self.targets.items() if its == vendor]


# Of Intel's compiler: how many work-items share a thread, where fewer is worse.
def registers_are_lanes(vendor):
    return vendor == "Intel"


def cell(figures):
    spilled = f", **{figures['spilled']} spilled**" if figures["spilled"] else ""
    return f"{figures['registers']}, {figures['occupancy']} %{spilled}"


def table_of(table, vendor):
    targets = table.of(vendor)
    yield f"| file | kernel | elements | local bytes | {' | '.join(targets)} |"
    yield "| --- | --- | --- | --- |" + " --- |" * len(targets)
    for (file, kernel, type_), row in sorted(table.rows.items()):
        found = [row[t] for t in targets if t in row]
        local = max((f["local"] for f in found), default=0)
        cells = " | ".join(cell(row[t]) if t in row else "" for t in targets)
        if found:
            yield f"| {file} | {kernel} | {type_} | {local} | {cells} |"


PAGE = """# The kernels on the vendors' GPUs

Made by `tests/vendors/run.sh BUILD --write-docs`; `./test.sh` compiles all kernels for these GPUs, without having one, and compares with
this page: no warning, no spill, the same local memory, and registers that are at most {margin} or {part} % more.

Compiled is what aval gives a GPU when it plans every operator's samples in float, half and double, forward and backward, the built-in
training graphs, and a residual block, a recurrent layer and an attention block with their gradients: {builds} builds with {generated}
kernels generated from expressions among them. Each is planned twice: as launches of their own on a GPU of 32 compute units, and with all
heads and joints on one of a single unit, for which products have their largest tiles; of the heads the first three before the same kernels
are compiled. Matrix products are those of kernels/gemm_groups.cl; CLBlast's kernels are not aval's.

A row holds the worst of all variants of a kernel with these elements, and the row `{generated_name}` the worst of all generated ones. The
number before the comma is the registers of a work-item, the one after it the occupancy: how many of the threads that a processor can hold
are resident with work-groups of 256, as far as registers and local memory decide it. An empty cell: no doubles on that GPU.
"""

VENDORS = {
    "AMD": """LLVM 15 with libclc. Registers are vector registers; the occupancy is the one that LLVM's backend prints with each kernel, in
waves of a SIMD, over the 10 (gfx906) or 16 that it holds.
""",
    "NVIDIA": """PTX by LLVM 15 with libclc, assembled by CUDA's ptxas. The occupancy is warps over the multiprocessor's most, by the limits in the
CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
""",
    "Intel": """Debian's ocloc. Each hardware thread has 128 registers whatever the kernel; the compiler chooses how many work-items (SIMD 8, 16 or
32) share them, and that is the number shown: more is better. The occupancy is threads over those of a subslice (Xe core), by the limits in
Intel's oneAPI GPU Optimization Guide, "Thread Mapping and GPU Occupancy". Counted as spilled is what the compiler's scratch memory holds;
of arrays that it keeps in global memory it does not tell.
""",
}


def page(table, n_builds):
    part = int(100 * REGISTERS_PART)
    generated = len(table.generated)
    parts = [PAGE.format(margin=REGISTERS_MARGIN, part=part, builds=n_builds, generated=generated, generated_name=GENERATED)]
    for vendor, text in VENDORS.items():
        parts.append(f"## {vendor}\n\n{text}\n" + "\n".join(table_of(table, vendor)) + "\n")
    return "\n".join(parts)


def read(text):
    """rows[vendor, file, kernel, type] -> (local bytes, {target: (registers, spilled)})"""
    rows, vendor, targets = {}, None, []
    for line in text.splitlines():
        if line.startswith("## "):
            vendor = line[3:]
        cells = [c.strip() for c in line.strip("|").split("|")]
        if line.startswith("| file |"):
            targets = cells[4:]
        elif line.startswith("| ") and not line.startswith("| ---"):
            figures = {}
            for target, found in zip(targets, cells[4:]):
                if found:
                    spilled = re.search(r"\*\*(\d+) spilled", found)
                    figures[target] = (int(found.partition(",")[0]), int(spilled.group(1)) if spilled else 0)
            rows[(vendor, *cells[:3])] = (int(cells[3]), figures)
    return rows


def compare(where, vendor, target, now, then_registers, then_spilled):
    if now["spilled"] != then_spilled:
        yield f"{where}: {target} spills {now['spilled']} bytes, docs/kernels.md says {then_spilled}"
    if registers_are_lanes(vendor):
        if now["registers"] < then_registers:
            yield f"{where}: {target} runs {now['registers']} work-items a thread, docs/kernels.md says {then_registers}"
    elif now["registers"] > then_registers + max(REGISTERS_MARGIN, REGISTERS_PART * then_registers):
        yield f"{where}: {target} needs {now['registers']} registers, docs/kernels.md says {then_registers}"


def differences(table, text):
    """Regressions against the page, and rows that are in only one of the two."""
    recorded, seen, found = read(text), set(), []
    for (file, kernel, type_), row in sorted(table.rows.items()):
        where = f"{file} {kernel} of {type_}"
        for vendor in VENDORS:
            targets = [t for t in table.of(vendor) if t in row]
            key = (vendor, file, kernel, type_)
            if not targets:
                continue
            seen.add(key)
            if key not in recorded:
                found.append(f"{where} is not in docs/kernels.md under {vendor}; {WRITE}")
                continue
            local, figures = recorded[key]
            now = max(row[t]["local"] for t in targets)
            if now != local:
                found.append(f"{where}: {vendor}: {now} bytes of local memory, docs/kernels.md says {local}; {WRITE}")
            for target in targets:
                if target in figures:
                    found += [f"{d}; {WRITE}" for d in compare(where, vendor, target, row[target], *figures[target])]
    measured = {table.targets[t] for t in table.targets}
    for vendor, file, kernel, type_ in sorted(set(recorded) - seen):
        if vendor in measured:
            found.append(f"{file} {kernel} of {type_} stands in docs/kernels.md under {vendor} but is not launched any more; {WRITE}")
    return found


def summary(table):
    """A line a GPU: the most registers, spills and local memory, the least occupancy, and in which kernel."""
    lines = [f"{'GPU':8} {'registers, most':44} {'spilled':>8} {'local':>6}  occupancy, least"]
    for target, vendor in table.targets.items():
        rows = {key: row[target] for key, row in table.rows.items() if target in row}
        pick = min if registers_are_lanes(vendor) else max
        most = pick(rows, key=lambda k: rows[k]["registers"])
        least = min(rows, key=lambda k: rows[k]["occupancy"])
        unit = "a thread" if registers_are_lanes(vendor) else ""
        spilled, local = max(r["spilled"] for r in rows.values()), max(r["local"] for r in rows.values())
        shown = f"{rows[most]['registers']} {unit} {most[1]} of {most[2]}".replace("  ", " ")
        lines.append(f"{target:8} {shown:44} {spilled:8} {local:6}  {rows[least]['occupancy']} % {least[1]} of {least[2]}")
    return "\n".join(lines)
