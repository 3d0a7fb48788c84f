#!/usr/bin/env bash
# Compiles all kernels for AMD, NVIDIA and Intel GPUs, none of which is needed, and compares registers, local memory and spills with
# docs/kernels.md; then what their memory would be asked for together with docs/coalescing.md (tests/coalescing/run.py).
#   tests/vendors/run.sh BUILD [--write-docs]      BUILD: a build folder with the plugins and list_kernels
# Exits with 77 when nothing is wrong but a vendor was left out, because its compiler could not be installed.
set -u
root=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
build=$(readlink -f "${1:?a build folder is needed}")
shift
. "$root/.ci/packages.sh"
work=$build/vendors
mkdir -p "$work"

# A vendor whose compiler cannot be installed is left out, and compile.py says so.
# shellcheck disable=SC2086 # lists of words
(need_packages $AVAL_VENDOR_PACKAGES) || true

# Intel's ocloc comes with Intel's OpenCL driver.  The package is unpacked here instead of installed: its driver would be loaded by every
# OpenCL program of this machine, and ends those under AddressSanitizer.
if ! command -v ocloc >/dev/null; then
    if [ ! -x "$work/intel/usr/bin/ocloc" ]; then
        (cd "$work" && apt-get download intel-opencl-icd && dpkg -x intel-opencl-icd_*.deb intel) >"$work/intel.log" 2>&1
        rm -f "$work"/intel-opencl-icd_*.deb
    fi
    if [ -x "$work/intel/usr/bin/ocloc" ]; then
        export AVAL_OCLOC=$work/intel/usr/bin/ocloc
        export LD_LIBRARY_PATH=$work/intel/usr/lib/$(uname -m)-linux-gnu${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    fi
fi

export PYTHONDONTWRITEBYTECODE=1
python3 "$root/tests/vendors/test_report.py" --quiet || exit 1
rm -rf "$work/listed"
mkdir "$work/listed"
"$build/tests/vendors/list_kernels" "$build/plugins" "$work/listed" || exit 1
python3 "$root/tests/coalescing/run.py" "$build" "$@"
traced=$?
python3 "$root/tests/vendors/compile.py" "$work/listed" "$work/results" "$root/docs/kernels.md" "$@"
compiled=$?
if [ $traced = 0 ] || [ $traced = 77 ] && [ $compiled != 0 ]; then exit $compiled; fi
exit $traced
