#!/usr/bin/env bash
# Installs into a folder, moves that, and uses it as a stranger would: the program, README's program by pkg-config and by find_package, a
# plugin built outside the tree.
#   installed.sh SOURCE_FOLDER BUILD_FOLDER
set -u
source=$1 build=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() {
    echo "installed: $1"
    exit 1
}
quietly() { # COMMAND...: its output only if it fails
    "$@" >"$folder/log" 2>&1 && return 0
    cat "$folder/log"
    fail "failed: $*"
}
says() { # EXPECTED COMMAND...
    expected=$1
    shift
    found=$("$@" 2>&1)
    [ "$found" = "$expected" ] || fail "$*: expected '$expected', found '$found'"
}

quietly cmake --install "$build" --prefix "$folder/first"
mv "$folder/first" "$folder/moved"
prefix=$folder/moved
unset AVAL_PLUGIN_PATH LD_LIBRARY_PATH

# Nothing that is installed points back at where it came from.
if grep -rIlF -e "$build" -e "$source" -e "$folder/first" "$prefix"; then fail "the files above hold a path of the build"; fi
[ "$(find "$prefix" -name 'libaval.so.?' | wc -l)" = 1 ] || fail "expected one libaval.so with its soname, found: $(find "$prefix" -name 'libaval.so*')"
for file in "$prefix/bin/aval" $(find "$prefix" -name '*.so' -o -name 'libaval.so.?'); do
    path=$(readelf -d "$file" | sed -n 's/.*R\(UN\)\?PATH).*\[\(.*\)\]/\2/p')
    case ":$path:" in
        ::) ;; # none
        *::*) fail "$file: an empty entry in RUNPATH [$path] means the current folder" ;;
        *"$build"*) fail "$file: RUNPATH [$path] leads into the build folder" ;;
    esac
done

export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name aval.pc)")
plugins=$(pkg-config --variable=plugindir aval)
[ -f "$plugins/conv.so" ] || fail "aval.pc says that plugins are in $plugins, which holds no conv.so"
for variable in kerneldir embed; do
    [ -e "$(pkg-config --variable=$variable aval)" ] || fail "aval.pc: $variable names nothing that is there"
done

# The program.
cd / || exit 1
says "  from $(readlink -f "$plugins")/conv.so" sh -c "'$prefix/bin/aval' ops Conv | grep '^  from '"
quietly "$prefix/bin/aval" train mlp --stop-after 1 --quiet
man=$(find "$prefix" -name aval.1)
"$prefix/bin/aval" help | sed -n -e '/^Environment:/q' -e 's/^  \([a-z][a-z-]*\) .*/\1/p' >"$folder/commands"
[ -s "$folder/commands" ] || fail "no commands in aval help"
sed -n 's/^\.SS aval \([a-z\\-]*\).*/\1/p' "$man" | tr -d '\\' | diff "$folder/commands" - || fail "aval.1 has other commands than aval help"
while read -r command; do
    [ "$command" = help ] && continue
    for option in $("$prefix/bin/aval" "$command" --help | grep -oE '^  (-.,|   ) --[a-z-]+' | grep -oE -e '--[a-z-]+'); do
        tr -d '\\' <"$man" | grep -qE "^\.B (-., )?$option([ =]|\$)" || fail "aval.1 lacks option $option of aval $command"
    done
done <"$folder/commands"
if command -v man >/dev/null; then
    warnings=$(MANWIDTH=80 man --warnings -l "$man" 2>&1 >/dev/null)
    [ -z "$warnings" ] || fail "aval.1: $warnings"
fi

# README's program.
answer="y = 0.2311 1.9281, dy/dx = 0.8553 1.1053"
cp "$source/examples/first.c" "$folder"
# The line of the README as it stands there, and the program runs without being told where its library lies.
line=$(sed -n 's/^    \(cc first\.c .*pkg-config.*\.\/first\) .*/\1/p' "$source/README.md")
[ -n "$line" ] || fail "README.md has no line that builds first.c by pkg-config"
(cd "$folder" && eval "$line") >"$folder/answer" 2>&1
[ "$(cat "$folder/answer")" = "$answer" ] || fail "$line: expected '$answer', found '$(cat "$folder/answer")'"
# The README and the pages, and what they point at; the guide lies where the files of `aval new-op` say.
docs=$prefix/share/doc/aval
[ -f "$docs/docs/writing-operators.md" ] || fail "the guide is not installed"
for page in "$docs"/*.md "$docs"/docs/*.md; do
    for file in $(grep -oE '\]\([A-Za-z./_-]+\)' "$page" | tr -d '()]'); do
        [ -e "$(dirname "$page")/$file" ] || fail "$page points at $file, which is not there"
    done
done
# Interoperation, for who has OpenCL's headers and loader.
# shellcheck disable=SC2046 # a list of words
quietly cc "$source/examples/own_buffers.c" -o "$folder/own_buffers" $(pkg-config --cflags --libs aval) -lOpenCL

# A plugin project of each kind, as it is.
export CMAKE_PREFIX_PATH=$prefix
for kind in expression kernels body; do
    quietly "$prefix/bin/aval" new-op "My$kind" --kind $kind --dir "$folder/$kind"
    grep -q "share/doc/aval/docs/writing-operators.md" "$folder/$kind/my$kind.c" || fail "new-op --kind $kind does not say where the guide lies"
    CFLAGS="-Wpedantic -Werror" quietly "$folder/$kind/check.sh"
done

for wrong in "Mybody --dir $folder/body" 3rd Test "Fine --kind kernel --dir $folder/fine"; do
    # shellcheck disable=SC2086 # a list of words
    if "$prefix/bin/aval" new-op $wrong >"$folder/log" 2>&1 || [ "$(wc -l <"$folder/log")" != 1 ]; then
        cat "$folder/log"
        fail "aval new-op $wrong: expected one message, and nothing written over"
    fi
done

# README's program by CMake, and a plugin with a header of its own beside its kernel.
quietly "$prefix/bin/aval" new-op Roll --kind kernels --dir "$folder/project"
cp "$folder/first.c" "$folder/project"
sed -i 's/#include "lines.clh"/#include "own.clh"/' "$folder/project/roll.cl"
echo '#include "lines.clh"' >"$folder/project/own.clh"
cat >"$folder/project/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.18)
project(stranger LANGUAGES C)
find_package(aval 0.1 REQUIRED)
add_executable(first first.c)
target_link_libraries(first PRIVATE aval::aval)
aval_add_plugin(roll SOURCES roll.c KERNELS roll.cl)
install(TARGETS roll LIBRARY DESTINATION "${AVAL_PLUGIN_DIR}")
END
quietly cmake -S "$folder/project" -B "$folder/project/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_FLAGS="-Wall -Wextra -Wpedantic -Werror"
quietly cmake --build "$folder/project/build"
says "$answer" "$folder/project/build/first"
quietly "$prefix/bin/aval" check --plugin "$folder/project/build/roll.so" --failures "$folder/failures" Roll
# Kernels are embedded anew when what they include changes, and what they include must be there.
echo '#include "missing.clh"' >>"$folder/project/own.clh"
if cmake --build "$folder/project/build" >"$folder/log" 2>&1 || ! grep -q 'own.clh includes "missing.clh"' "$folder/log"; then
    cat "$folder/log"
    fail "a kernel with a missing include: expected that the build names it"
fi
sed -i '$d' "$folder/project/own.clh"
quietly cmake --build "$folder/project/build"
# Once installed it is found without being named.
quietly cmake --install "$folder/project/build"
quietly "$prefix/bin/aval" ops Roll
# A project that asks for another minor version is told so.
sed -i 's/aval 0.1/aval 0.2/' "$folder/project/CMakeLists.txt"
if cmake -S "$folder/project" -B "$folder/project/other" -DCMAKE_PREFIX_PATH="$prefix" >"$folder/log" 2>&1; then
    fail "find_package(aval 0.2) took version 0.1"
fi
exit 0
