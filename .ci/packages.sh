# Installs missing Debian packages; sourced by run.sh and test.sh.
#   need_packages PACKAGE...
# Does nothing, and needs no network, when all are installed.  Without root or passwordless sudo, and on systems without apt, it prints what
# to install and ends the script.

AVAL_RUN_PACKAGES="gcc libc6-dev make cmake pocl-opencl-icd ocl-icd-libopencl1 ocl-icd-opencl-dev opencl-c-headers libclblast-dev uthash-dev libxxhash-dev libjansson-dev libpopt-dev zlib1g-dev libpng-dev libjpeg-dev libprotobuf-c-dev protobuf-c-compiler"
AVAL_TEST_PACKAGES="git g++ clang libclang-rt-dev clang-format libcriterion-dev mesa-opencl-icd oclgrind graphviz chromium python3 python3-pip pkg-config dpkg-dev libopenblas0-pthread gnuplot-nox"
# What tests/bench/peers needs beyond that.
AVAL_PEER_PACKAGES="libopenblas0-pthread gnuplot-nox"
# Compilers for GPUs that are not here; a vendor whose compiler cannot be had is left out (tests/vendors/run.sh).
AVAL_VENDOR_PACKAGES="clang-15 libclc-15-dev libigc1 libigdfcl1"

need_packages() {
    if ! command -v dpkg-query >/dev/null 2>&1; then
        if ! command -v cmake >/dev/null 2>&1 || ! command -v cc >/dev/null 2>&1; then
            echo "This is not a Debian-like system. Install what these Debian packages stand for, then run this again:" >&2
            echo "  $*" >&2
            exit 1
        fi
        return 0
    fi
    missing=""
    for package in "$@"; do
        dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        as_root=""
    elif sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        echo "Some packages are missing. Install them, then run this again:" >&2
        echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing" >&2
        exit 1
    fi
    echo "Installing:$missing"
    log=$(mktemp)
    # sudo drops the environment, so the settings go behind it
    if ! { $as_root env DEBIAN_FRONTEND=noninteractive apt-get update &&
           $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        echo "apt-get could not install:$missing (the log is $log)" >&2
        exit 1
    fi
    rm -f "$log"
}
