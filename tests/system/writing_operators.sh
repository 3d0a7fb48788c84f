#!/usr/bin/env bash
# docs/writing-operators.md as a reader follows it: aval is installed, and the page's files are written and its commands run in their order, in an
# empty folder.
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
for file in $(grep -oE '\]\([A-Za-z./_-]+\)' "$page" | tr -d '()]'); do
    [ -e "$source/docs/$file" ] || { echo "$page points at $file, which is not there"; exit 1; }
done
