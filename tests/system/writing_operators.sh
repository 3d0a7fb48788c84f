#!/usr/bin/env bash
# docs/writing-operators.md as a reader follows it: aval is installed, and the page's files are written and its commands run in their order, in an
# empty folder.  Then counts what the reader has written beyond what `aval new-op` made for him.
#   writing_operators.sh SOURCE_FOLDER BUILD_FOLDER
set -eu
source=$1 build=$2
page=$source/docs/writing-operators.md
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OCL_ICD_VENDORS=${OCL_ICD_VENDORS:-/etc/OpenCL/vendors/pocl.icd}
cmake --install "$build" --prefix "$folder/installed" >/dev/null
mkdir "$folder/work"
# The page as one script: a file is a here-document.
awk '
    /^<!-- file: / { file = $3; next }
    /^```c$/ { print "cat >" file " <<\47END OF FILE\47"; inside = "c"; next }
    /^```sh$/ { inside = "sh"; next }
    /^```$/ { if (inside == "c") print "END OF FILE"; inside = ""; next }
    inside != "" { print; if (inside == "sh") commands++ }
    END { if (commands < 12) print "echo the page holds no commands; exit 1" }' "$page" |
    sed "s|^AVAL=.*|AVAL='$folder/installed'|" >"$folder/page.sh"
cd "$folder/work"
bash -eux -o pipefail "$folder/page.sh"

# Lines of C and kernel that are the reader's own: comments, blank lines and lone brackets are not counted.
code() { sed -E 's#/\*.*\*/##; s/^ +//; s/ +$//' "$@" | grep '[[:alnum:]]'; }
# hold_lines OP KIND BOUND: fewer than BOUND lines of the page's operator are not in the project that new-op makes.
hold_lines() {
    op=$1 kind=$2 bound=$3 project=$(echo "$1" | sed -E 's/(.)([A-Z])/\1_\2/g' | tr '[:upper:]' '[:lower:]')
    "$folder/installed/bin/aval" new-op "$op" --kind "$kind" --dir "$folder/made_$op" --quiet
    code "$folder/made_$op"/*.c* >"$folder/made"
    own=$(code "$project"/*.c* | grep -cvxFf "$folder/made") || { echo "$page: my::$op is what new-op makes"; exit 1; }
    echo "$op ($kind): $own lines are the reader's own, fewer than $bound are promised"
    [ "$own" -lt "$bound" ] || exit 1
}
hold_lines Softsign expression 15
hold_lines RunningSum kernels 60
for file in $(grep -oE '\]\([A-Za-z./_-]+\)' "$page" | tr -d '()]'); do
    [ -e "$source/docs/$file" ] || { echo "$page points at $file, which is not there"; exit 1; }
done
