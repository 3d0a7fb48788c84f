#!/usr/bin/env bash
# Holds what no compiler holds: the layout of the code, who may include whom, that the runtime knows no operator by name, file lengths.
set -u
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
bad=0
complain() {
    echo "hygiene: $1"
    bad=1
}

files=$(git ls-files '*.c' '*.h')
# shellcheck disable=SC2086 # a list of files without spaces
if ! clang-format --dry-run --Werror $files 2>/tmp/aval-format.$$; then
    head -n 20 /tmp/aval-format.$$
    complain "clang-format would change the files above (clang-format -i mends them)"
fi
rm -f /tmp/aval-format.$$

# Layers: a folder of runtime/ may include itself and those listed behind it.
layers() {
    case $1 in
        base) echo "" ;;
        op) echo "base" ;;
        graph) echo "base op" ;;
        model) echo "base op graph" ;;
        plan) echo "base op graph" ;;
        device) echo "base op" ;;
        exec) echo "base op graph model plan device" ;;
        check) echo "base op graph model plan device exec" ;;
        train) echo "base" ;;
    esac
}
for layer in base op graph model plan device exec check train; do
    allowed=" $layer $(layers "$layer") "
    for file in $(git ls-files "runtime/$layer/*.c" "runtime/$layer/*.h"); do
        for other in $(sed -n 's|^#[[:space:]]*include "\([a-z]*\)/.*|\1|p' "$file" | sort -u); do
            [ "$other" = aval ] && continue
            case "$allowed" in *" $other "*) ;; *) complain "$file includes $other/, which layer $layer may not" ;; esac
        done
    done
done
# The program and the examples stand on the public API alone.
for file in $(git ls-files 'cli/*.[ch]' 'examples/*.[ch]'); do
    if grep -qE '#[[:space:]]*include "(base|op|graph|model|plan|device|exec|check|train)/' "$file"; then
        complain "$file includes a header of the runtime; only aval/aval.h is public"
    fi
done
for file in $(git ls-files 'include/*' 'runtime/*' 'plugins/*' 'cli/*' | xargs grep -lE '#[[:space:]]*include <CL/'); do
    case $file in
        runtime/device/* | runtime/exec/* | include/aval/opencl.h) ;;
        *) complain "$file includes OpenCL's header; only runtime/device and runtime/exec may" ;;
    esac
done
# Interoperation is for who has OpenCL objects: the runtime's own layers, the program and the other public headers do without.
for file in $(git ls-files 'include/*' 'runtime/*' 'plugins/*' 'cli/*' | xargs grep -lE '#[[:space:]]*include [<"]aval/opencl.h'); do
    case $file in
        runtime/exec/*) ;;
        *) complain "$file includes aval/opencl.h; only runtime/exec and programs of users may" ;;
    esac
done
if sed -n 's/^#[[:space:]]*include[[:space:]]*\(.*\)/\1/p' include/aval/plugin.h include/aval/plugin_help.h |
    grep -vqE '^<(stddef|stdint)\.h>$|^"plugin(_help)?\.h"$'; then
    complain "include/aval/plugin.h, or its helpers, include more than stddef.h and stdint.h"
fi

# No operator is known by name below train and model: the names are read from the plugins.
names=$(git ls-files 'plugins/*.c' | xargs grep -hoE '(\.name = |^ *[A-Z_]+\()"[A-Z][A-Za-z]+"' | grep -oE '"[A-Z][A-Za-z]+"' | sort -u)
[ -n "$names" ] || [ -z "$(git ls-files 'plugins/*.c')" ] || complain "no operator name found in plugins/: this check compares nothing"
for name in $names; do
    hit=$(git ls-files 'runtime/base/*.c' 'runtime/op/*.c' 'runtime/graph/*.c' 'runtime/plan/*.c' 'runtime/device/*.c' 'runtime/exec/*.c' 'runtime/check/*.c' |
        xargs grep -n "$name" /dev/null | head -n 1)
    [ -z "$hit" ] || complain "an operator's name in the runtime: $hit"
done

for file in $(git ls-files '*.c' '*.h' '*.cl' '*.clh'); do
    lines=$(wc -l <"$file")
    [ "$lines" -le 600 ] || complain "$file has $lines lines; past 600 it is two files"
done
if grep -nwE 'TODO|FIXME|XXX' $(git ls-files '*.c' '*.h' '*.cl' '*.clh'); then complain "marks of unfinished work, above"; fi
for file in $(git ls-files 'kernels/*.cl'); do
    if grep -nE '\batom(ic)?_[a-z]+\([^)]*(float|double)' "$file"; then complain "$file has floating-point atomics"; fi
done
exit $bad
