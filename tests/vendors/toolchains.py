"""The vendors' compilers: how each is called, and what it says about registers and memory.

Each compiler has `name`, `vendor`, `version` (of all that decides its results), `fp64`, `figures` (it tells of
all memory that stands in for registers), and compile(source, options, scratch), which gives
{"messages": [...], "targets": {target: {kernel: figures}}}.  Figures are registers, spilled (bytes a work-item of memory that stand in for
registers), local (bytes a work-group) and occupancy (percent of the threads that a processor can hold)."""

import os
import pathlib
import re
import shutil
import struct
import subprocess

GROUP = 256  # work-items of a group that aval launches (runtime/device/info.c)
LANGUAGE = ["-cl-std=CL1.2"]
# More than a driver shows, without those about helpers, parameters and coordinates that one variant of a file or one generated kernel has no
# use for.  The last is about libclc itself.
UNUSED = "-Wno-unused-parameter -Wno-unused-function -Wno-unused-variable"
WARNINGS = f"-Wall -Wextra {UNUSED} -Wno-linker-warnings".split()
LIBCLC = ["/usr/lib/clc", "/usr/share/clc"]


def call(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).strip()


def complaints(log):
    """The lines of a log that are errors or warnings, without the folder that the source lay in."""
    lines = [re.sub(r"^\S*/", "", line) for line in log.splitlines()]
    return [line for line in lines if re.search(r"\b(error|warning|fatal)\b.*: |\b(Error|Warning)\b", line)]


def version_of(command):
    return call([command, "--version"])[1]


def find_libclc(name):
    return next((f"{folder}/{name}" for folder in LIBCLC if os.path.exists(f"{folder}/{name}")), None)


def clang(triple, cpu, library, source, options, out):
    builtins = ["-Xclang", "-mlink-builtin-bitcode", "-Xclang", library]
    command = ["clang-15", "-x", "cl", *LANGUAGE, "-O3", "-target", triple, *cpu, *builtins, "-nogpulib", *WARNINGS, *options]
    return call([*command, "-S", str(source), "-o", str(out)])


class Amd:
    """LLVM's AMDGPU backend, which is what ROCm and Mesa build with; it prints the occupancy of a SIMD in waves."""

    vendor = "AMD"
    fp64 = figures = True
    MOST_WAVES = {"gfx906": 10, "gfx1030": 16, "gfx1100": 16}

    def __init__(self, cpu, library):
        self.name, self.library, self.version = cpu, library, version_of("clang-15")

    def compile(self, source, options, scratch):
        out = scratch / "out.s"
        failed, log = clang("amdgcn-amd-amdhsa", [f"-mcpu={self.name}"], self.library, source, options, out)
        messages = complaints(log)
        if failed:
            return {"messages": messages or ["clang-15 failed"], "targets": {}}
        text = out.read_text()
        defined = set(re.findall(r"^(\w+):", text, re.M))
        for symbol in sorted(set(re.findall(r"(\w+)@(?:gotpcrel32|rel32)", text)) - defined):
            messages.append(f"calls {symbol}, which libclc does not have")
        # Functions that are no kernels print no occupancy, so each figure belongs to the label before it.
        waves, label = {}, None
        for at, occupancy in re.findall(r"^(?:(\w+): +; @\w+|; Occupancy: (\d+))$", text, re.M):
            label = at or label
            if occupancy:
                waves[label] = int(occupancy)
        kernels = {}
        for block in text.partition("amdhsa.kernels:")[2].partition("amdhsa.target:")[0].split("\n  - ")[1:]:
            entry = dict(re.findall(r"^    \.(\w+): +(\S+)$", block, re.M))
            kernels[entry["name"]] = {
                "registers": int(entry["vgpr_count"]),
                "spilled": int(entry["private_segment_fixed_size"]),
                "local": int(entry["group_segment_fixed_size"]),
                "occupancy": 100 * waves[entry["name"]] // self.MOST_WAVES[self.name],
            }
        return {"messages": messages, "targets": {self.name: kernels}}


class Nvidia:
    """clang's PTX for sm_75, the newest that clang-15 knows, then CUDA's assembler for each target, as the driver does it."""

    vendor = "NVIDIA"
    name = "nvptx64"
    fp64 = True
    # Warps and work-groups of a multiprocessor, bytes of its shared memory, and those that each group takes besides its own: CUDA C++
    # Programming Guide, "Technical Specifications per Compute Capability".  Registers are 65,536, handed out to warps by 256.
    TARGETS = {"sm_75": (32, 16, 64 << 10, 0), "sm_90": (64, 32, 228 << 10, 1 << 10)}

    def __init__(self, library, ptxas):
        self.library, self.ptxas, self.figures = library, ptxas, ptxas is not None
        self.version = version_of("clang-15") + (version_of(ptxas) if ptxas else "")

    def occupancy(self, target, registers, local):
        warps, groups, shared, reserved = self.TARGETS[target]
        group_warps = GROUP // 32
        by_registers = 65536 // ((registers * 32 + 255) // 256 * 256) // group_warps
        fitting = min(groups, warps // group_warps, by_registers, shared // max(1, local + reserved))
        return 100 * fitting * group_warps // warps

    def assemble(self, target, ptx, scratch):
        failed, log = call([self.ptxas, "-v", f"-arch={target}", str(ptx), "-o", str(scratch / "out.cubin")])
        messages = [f"{target}: {line}" for line in complaints(log)]
        kernels = {}
        for block in log.split("Compiling entry function '")[1:]:
            registers = int(re.search(r"Used (\d+) registers", block).group(1))
            local = re.search(r"(\d+) bytes smem", block)
            local = int(local.group(1)) if local else 0
            kernels[block.partition("'")[0]] = {
                "registers": registers,
                "spilled": int(re.search(r"(\d+) bytes stack frame", block).group(1)),
                "local": local,
                "occupancy": self.occupancy(target, registers, local),
            }
        return messages + (["ptxas failed"] if failed and not messages else []), kernels

    def compile(self, source, options, scratch):
        ptx = scratch / "out.ptx"
        failed, log = clang("nvptx64-nvidia-cuda", ["-march=sm_75"], self.library, source, options, ptx)
        messages = complaints(log)
        if failed:
            return {"messages": messages or ["clang-15 failed"], "targets": {}}
        for symbol in re.findall(r"^\.extern \.func.*?(\w+)\s*$", ptx.read_text(), re.M):
            messages.append(f"calls {symbol}, which libclc does not have")
        targets = {}
        for target in self.TARGETS if self.ptxas else []:
            more, targets[target] = self.assemble(target, ptx, scratch)
            messages += more
        return {"messages": messages, "targets": targets}


class Intel:
    """Intel's offline compiler.  Every thread has 128 registers of 32 (pvc: 64) bytes; how many work-items share a thread is the
    compiler's choice, and stands in place of a number of registers."""

    vendor = "Intel"
    figures = False  # of spills, but not of arrays that it keeps in memory: zebin does not tell their size
    # doubles; threads that share a local memory, and its bytes: Intel, oneAPI GPU Optimization Guide, "Thread Mapping and GPU Occupancy"
    TARGETS = {"skl": (True, 56, 64 << 10), "tgllp": (False, 112, 128 << 10), "dg2": (False, 128, 128 << 10), "pvc": (True, 64, 128 << 10)}
    # What the runtime adds for a device whose sizes of sub-groups are 16 and 32 (aval__usual_sub_group); the others have 8 too.
    OPTIONS = {"pvc": ["-DSUB_GROUP=16"]}

    def __init__(self, target, ocloc):
        self.name, self.ocloc = target, ocloc
        self.fp64, self.threads, self.shared = self.TARGETS[target]
        compiler = sorted(pathlib.Path("/usr/lib").glob("*/libigc.so.1*"))
        self.options = LANGUAGE + self.OPTIONS.get(target, [])
        self.version = " ".join([str(ocloc), *(str(file.resolve()) for file in compiler), *self.OPTIONS.get(target, [])])

    def compile(self, source, options, scratch):
        # zebin: the format whose description of the kernels is text
        command = [self.ocloc, "compile", "-file", str(source), "-device", self.name, "--format", "zebin", "-exclude_ir"]
        failed, log = call([*command, "-out_dir", str(scratch), "-options", " ".join(self.options + options)])
        # Spills are measured below, where it is known which kernels are launched.
        messages = [line for line in complaints(log) if "regs and spilled" not in line]
        binaries = list(scratch.glob("*.bin"))
        if failed or len(binaries) != 1:
            return {"messages": messages or ["ocloc made no binary"], "targets": {}}
        info = elf_section(binaries[0].read_bytes(), b".ze_info").decode()
        kernels = {}
        for block in info.partition("\nkernels:")[2].partition("\nkernels_misc_info:")[0].split("\n  - name:")[1:]:
            name = block.split()[0]
            simd = int(re.search(r"simd_size: +(\d+)", block).group(1))
            local = re.search(r"slm_size: +(\d+)", block)
            local = int(local.group(1)) if local else 0
            memory = block.partition("per_thread_memory_buffers:")[2]
            spilled = -(-sum(int(size) for size in re.findall(r"size: +(\d+)", memory)) // simd)
            kernels[name] = {
                "registers": simd,
                "spilled": spilled,
                "local": local,
                "occupancy": self.occupancy(simd, local),
            }
        # Made by ocloc where a file has functions that are called: large files have some of its own.  Those to be linked in later are undefined.
        kernels.pop("Intel_Symbol_Table_Void_Program", None)
        messages += [f"calls {symbol}, which is missing" for symbol in undefined_symbols(binaries[0].read_bytes())]
        return {"messages": messages, "targets": {self.name: kernels}}

    def occupancy(self, simd, local):
        group_threads = GROUP // simd
        groups = min(self.threads // group_threads, self.shared // max(1, local))
        return 100 * groups * group_threads // self.threads


def elf_section(binary, name):
    """Content of a section of a 64-bit little-endian ELF file."""
    at, = struct.unpack_from("<Q", binary, 0x28)
    size, count, names = struct.unpack_from("<HHH", binary, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", binary, at + i * size) for i in range(count)]
    texts = headers[names][4]
    for text, _, _, _, offset, length in headers:
        if binary[texts + text :].startswith(name + b"\0"):
            return binary[offset : offset + length]
    raise ValueError(f"no section {name.decode()}")


def undefined_symbols(binary):
    """Names that a 64-bit little-endian ELF file uses and does not define."""
    texts = elf_section(binary, b".strtab")
    names = [name for name, _, _, section, _, _ in struct.iter_unpack("<IBBHQQ", elf_section(binary, b".symtab")) if section == 0 and name]
    return [texts[name : texts.index(b"\0", name)].decode() for name in names]


def find():
    """The compilers that are here, and for each that is not a line that says why."""
    compilers, left_out = [], []
    amd, nvidia = find_libclc("amdgcn--amdhsa.bc"), find_libclc("nvptx64--nvidiacl.bc")
    if shutil.which("clang-15") is None or amd is None or nvidia is None:
        left_out.append("AMD and NVIDIA (clang-15 and libclc-15-dev could not be installed)")
    else:
        compilers += [Amd(cpu, amd) for cpu in Amd.MOST_WAVES]
        ptxas = shutil.which("ptxas") or shutil.which("/usr/local/cuda/bin/ptxas")
        compilers.append(Nvidia(nvidia, ptxas))
        if ptxas is None:
            left_out.append("NVIDIA beyond PTX (no ptxas: CUDA is not installed)")
    ocloc = os.environ.get("AVAL_OCLOC") or shutil.which("ocloc")
    if ocloc is None:
        left_out.append("Intel (Debian's intel-opencl-icd, libigc1 and libigdfcl1 could not be had)")
    else:
        compilers += [Intel(target, ocloc) for target in Intel.TARGETS]
    return compilers, left_out
