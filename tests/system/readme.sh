#!/usr/bin/env bash
# The README's program is examples/first.c to the letter, and builds and runs as the README says, outside CMake.
#   readme.sh SOURCE_FOLDER BUILD_FOLDER
set -eu
source=$1 build=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sed -n '/^```c$/,/^```$/p' "$source/README.md" | sed '1d;$d' >"$folder/first.c"
[ -s "$folder/first.c" ] || { echo "README.md holds no C program"; exit 1; }
diff "$source/examples/first.c" "$folder/first.c" || { echo "README.md and examples/first.c differ"; exit 1; }
lines=$(grep -cvE '^(/\*.*\*/)?$' "$folder/first.c") # without blank ones and comments
[ "$lines" -le 20 ] || { echo "the first program is to have 20 lines, found $lines"; exit 1; }
cc "$folder/first.c" -I"$source/include" -L"$build" -laval -Wl,-rpath,"$build" -o "$folder/first"
[ "$("$folder/first")" = "y = 0.2311 1.9281, dy/dx = 0.8553 1.1053" ] || { echo "the program prints: $("$folder/first")"; exit 1; }
for file in $(grep -oE '\]\([A-Za-z/_.-]+\)' "$source/README.md" | tr -d '()]'); do
    [ -e "$source/$file" ] || { echo "README.md points at $file, which is not there"; exit 1; }
done
