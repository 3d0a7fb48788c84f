#!/usr/bin/env bash
# page.sh SOURCE: docs/course.md names every program of examples/, every case from 1 to 24, and no program that is not there.
set -u
cd "$1" || exit 1
bad=0
for file in examples/*.c; do
    name=$(basename "$file" .c)
    grep -qE "\`(examples/)?$name(\.c)?\`" docs/course.md || { echo "docs/course.md does not lead to examples/$name.c"; bad=1; }
done
for name in $(grep -oE 'release/examples/[a-z_]+|^\*\*[^*]*\*\* · `[a-z_]+`' docs/course.md | grep -oE '[a-z_]+`?$' | tr -d '`'); do
    [ -f "examples/$name.c" ] || { echo "docs/course.md names $name, which examples/ has not"; bad=1; }
done
cases=$(grep -oE '^\*\*[0-9, ]+\.' docs/course.md | grep -oE '[0-9]+' | sort -n | tr '\n' ' ')
[ "$cases" = "$(seq -s ' ' 1 24) " ] || { echo "docs/course.md has the cases $cases, expected 1 to 24"; bad=1; }
exit $bad
