#!/usr/bin/env bash
# docs/writing-operators.md as a reader follows it: its files are written, and its commands run in their order, in an empty folder.
#   writing_operators.sh SOURCE_FOLDER BUILD_FOLDER
set -eu
source=$1 build=$2
page=$source/docs/writing-operators.md
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OCL_ICD_VENDORS=${OCL_ICD_VENDORS:-/etc/OpenCL/vendors/pocl.icd}
awk -v folder="$folder" '
    /^<!-- file: / { file = $3; next }
    /^```c$/ { to = folder "/" file; next }
    /^```sh$/ { to = folder "/commands"; next }
    /^```$/ { to = ""; next }
    to != "" { print >to }' "$page"
[ "$(grep -c . "$folder/commands")" -ge 12 ] || { echo "$page holds no commands"; exit 1; }
# The page's places are a clone in the home folder and its release; here they are these.
sed -e "s|^AVAL=.*|AVAL='$source'|" -e "s|\$AVAL/build/release/|$build/|" "$folder/commands" >"$folder/commands.sh"
cd "$folder"
bash -eux -o pipefail commands.sh
for file in $(grep -oE '\]\([A-Za-z./_-]+\)' "$page" | tr -d '()]'); do
    [ -e "$source/docs/$file" ] || { echo "$page points at $file, which is not there"; exit 1; }
done
