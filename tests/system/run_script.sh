#!/usr/bin/env bash
# run.sh in a folder of its own, with a stand-in for cmake, whose "program" prints where it was started and with what: arguments go to
# `aval train`, in the caller's folder.
#   run_script.sh SOURCE_FOLDER
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/repository/.ci" "$folder/bin" "$folder/elsewhere"
cp "$1/run.sh" "$folder/repository/"
echo 'AVAL_RUN_PACKAGES=""; need_packages() { :; }' >"$folder/repository/.ci/packages.sh"
cat >"$folder/bin/cmake" <<END
#!/bin/sh
printf '#!/bin/sh\necho "\$PWD" "\$@"\n' >"$folder/repository/build/release/aval"
chmod +x "$folder/repository/build/release/aval"
END
chmod +x "$folder/bin/cmake"
PATH=$folder/bin:$PATH

expect() { # FOLDER LINE ARGUMENT...
    found=$(cd "$1" && "$folder/repository/run.sh" "${@:3}" | grep " train " | head -n 1)
    [ "$found" = "$1 $2" ] || { echo "expected: $1 $2"; echo "found:    $found"; exit 1; }
}
save=$folder/repository/build/release/digits.safetensors
expect "$folder/elsewhere" "train --save $save --data mnist" --data mnist
expect "$folder/repository" "train --save $save lenet --epochs 5" lenet --epochs 5
if (cd "$folder/elsewhere" && "$folder/repository/run.sh" --build-only) | grep " train "; then
    echo "--build-only trains"
    exit 1
fi
