#!/usr/bin/env bash
# The Debian package in a bare system: made by CPack, installed by apt in a new debootstrap root with what it depends on and recommends and
# nothing else, and used there.  Needs root, debootstrap and Debian's archive; exits with 77 where one of them is missing.
#   clean_root.sh [BUILD_FOLDER [ROOT]]      BUILD_FOLDER: build/test; ROOT: a debootstrap root to use again (made where it is missing, and kept)
set -u
source=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
build=$(readlink -f "${1:-$source/build/test}")
. "$source/.ci/packages.sh"
(need_packages debootstrap dpkg-dev) || true
if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null || ! command -v dpkg-shlibdeps >/dev/null; then
    echo "clean_root: left out, needs root, debootstrap and dpkg-dev"
    exit 77
fi
work=$(mktemp -d)
root=${2:-$work/root}
mounted=""
leave() {
    for where in $mounted; do umount -l "$root/$where"; done
    # --one-file-system: what is still mounted for whatever reason is not ours to delete
    rm -rf --one-file-system "$work"
}
trap leave EXIT
fail() {
    echo "clean_root: $1"
    exit 1
}
inside() { # COMMAND...: in the root, with nothing of this environment
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}
quietly() { # COMMAND...: its output only if it fails
    "$@" >"$work/log" 2>&1 && return 0
    tail -n 40 "$work/log"
    fail "failed: $*"
}

release=$(. /etc/os-release && echo "$VERSION_CODENAME")
if [ ! -d "$root/etc" ] && ! debootstrap --variant=minbase "$release" "$root" http://deb.debian.org/debian >"$work/log" 2>&1; then
    tail -n 5 "$work/log"
    echo "clean_root: left out, debootstrap could not make a system: is there a network?"
    exit 77
fi
cp /etc/resolv.conf "$root/etc"
cp -r /etc/apt/apt.conf.d "$root/etc/apt"
# PoCL asks /proc and /sys for the processor, and ends without them.
for where in proc sys dev; do
    mount --bind "/$where" "$root/$where" || fail "cannot mount /$where in $root"
    mounted="$where $mounted"
done

rm -f "$root"/root/aval_*.deb
quietly env -C "$build" cpack -G DEB -B "$work/package"
cp "$work"/package/aval_*.deb "$root/root" || fail "cpack left no package"
package=/root/$(basename "$root"/root/aval_*.deb)
quietly inside apt-get update
# A file that is named is installed with what it recommends: an OpenCL device.
quietly inside apt-get install -y --reinstall -o APT::Install-Recommends=true "$package"
missing=$(inside sh -c 'ldd $(dpkg -L aval | grep -E "/bin/aval$|/embed$|[.]so")' | grep 'not found')
[ -z "$missing" ] || fail "libraries that the package does not depend on: $missing"
[ "$(inside dpkg-query -W -f='${Recommends}' aval)" = "pocl-opencl-icd | opencl-icd" ] || fail "the package does not recommend an OpenCL device"

inside aval devices || fail "aval devices failed"
quietly inside aval ops Conv
quietly inside aval train mlp --epochs 1 --quiet
quietly inside aval check Softmax --quick --failures /tmp/failures
quietly inside test -s /usr/share/man/man1/aval.1 -o -s /usr/share/man/man1/aval.1.gz

# With a compiler: README's program, and a plugin project.
quietly inside apt-get install -y --no-install-recommends gcc libc6-dev make cmake pkg-config
mkdir -p "$root/root/project"
cp "$source/examples/first.c" "$root/root/project"
cat >"$root/root/project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.18)
project(stranger LANGUAGES C)
find_package(aval REQUIRED)
add_executable(first first.c)
target_link_libraries(first PRIVATE aval::aval)
END
quietly inside sh -c 'cd /root/project && cc first.c -o by_pkg_config $(pkg-config --cflags --libs aval) && ./by_pkg_config | grep "dy/dx = 0.8553"'
quietly inside sh -c 'cd /root/project && rm -rf build && cmake -S . -B build && cmake --build build && build/first | grep "dy/dx = 0.8553"'
quietly inside sh -c 'cd /root && rm -rf roll && aval new-op Roll --kind kernels && roll/check.sh'

quietly inside apt-get remove -y aval
left=$(inside sh -c 'find /usr -path "*aval*"')
[ -z "$left" ] || fail "removed, the package leaves: $left"
echo "clean_root: installed, used and removed in a bare $release"
