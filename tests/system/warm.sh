#!/usr/bin/env bash
# After `aval warm`, a first training builds nothing, and a second `aval warm` finds everything there.  On rusticl, whose programs aval keeps
# itself (those of PoCL are in PoCL's own cache).
#   warm.sh BUILD_FOLDER
set -eu
[ -e /etc/OpenCL/vendors/rusticl.icd ] || exit 77
export OCL_ICD_VENDORS=/etc/OpenCL/vendors/rusticl.icd RUSTICL_ENABLE=llvmpipe
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export AVAL_CACHE_DIR=$folder/cache
programs() { # what lies beside them are verdicts on the device
    find "$folder/cache" -type f ! -name 'verdicts*' | wc -l
}
"$1/aval" warm --quiet
files=$(programs)
[ "$files" -gt 100 ] || { echo "only $files files in the cache"; exit 1; }
for net in linear mlp lenet; do "$1/aval" train "$net" --quiet --epochs 1; done
now=$(programs)
[ "$now" = "$files" ] || { echo "warm left $((now - files)) programs to be built by a first training"; exit 1; }
again=$("$1/aval" warm 2>"$folder/said")
echo "$again" | grep -q "^$files programs are ready for .*: $files were there, 0 were built" || { echo "second time: $again"; exit 1; }
if grep "^aval" "$folder/said"; then echo "warm warns of what its samples are meant to do"; exit 1; fi
