#!/usr/bin/env bash
# run.sh PROGRAM EXPECTED: runs a program of the course with a folder for its pictures.  It must end with 0, print first what the file
# EXPECTED holds (where there is one), and draw nothing but well-formed pictures.
set -u
pictures=$(mktemp -d)
trap 'rm -rf "$pictures"' EXIT
"$1" "$pictures" >"$pictures/printed" 2>"$pictures/errors"
status=$?
# Seen once in about a hundred runs, on this driver only, and never under gdb: said in print, and tried once more.
if [ $status -ge 128 ] && [ "${AVAL_DEVICE:-}" = rusticl ]; then
    echo "rusticl: ended by signal $((status - 128)); once more"
    "$1" "$pictures" >"$pictures/printed" 2>"$pictures/errors"
    status=$?
fi
cat "$pictures/errors"
[ $status -eq 0 ] || { cat "$pictures/printed"; exit 1; }
[ -z "${COURSE_SILENT:-}" ] || [ ! -s "$pictures/errors" ] || { echo "the device complained, see above"; exit 1; }
if [ -f "$2" ]; then
    diff "$2" <(head -n "$(wc -l <"$2")" "$pictures/printed") || { echo "the program printed the lines marked > where $2 has those marked <"; exit 1; }
else
    cat "$pictures/printed"
fi
for picture in "$pictures"/*.svg; do
    [ -f "$picture" ] || continue
    ! command -v python3 >/dev/null || python3 -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' "$picture" || { echo "$(basename "$picture") is not well-formed"; exit 1; }
    ! grep -qE '"[^"]*(nan|inf)[^"]*"' "$picture" || { echo "$(basename "$picture") has a place that is no number"; exit 1; }
done
for drawing in "$pictures"/*.dot; do
    [ -f "$drawing" ] && command -v dot >/dev/null || continue
    dot -Tsvg "$drawing" >/dev/null || { echo "Graphviz does not take $(basename "$drawing")"; exit 1; }
done
