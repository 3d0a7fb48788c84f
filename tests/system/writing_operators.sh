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
hold_lines RowMean kernels 60
hold_lines PrefixMax kernels 60
# All lines of them, whoever wrote them: an operator along an axis with its gradient.
for project in running_sum row_mean prefix_max; do
    all=$(code "$project"/*.c* | wc -l)
    echo "$project: $all lines of C and kernel in all, fewer than 60 are promised"
    [ "$all" -lt 60 ] || exit 1
done
# What a reader may get wrong: a shape that flattens, which fills as many elements, is seen where a sample says the shape, and told of where none does.
sed -i 's/    \.forward = forward,.*/    .infer = flatten,\n&/; s/^static const aval_op running/static int flatten(const aval_host *host, aval_call *call)\n{\n    int64_t n = host->count(host->input(call, 0));\n    return host->set_output(call, 0, host->type(host->input(call, 0)), 1, \&n);\n}\n\n&/' running_sum/running_sum.c
cmake --build running_sum/build >/dev/null
"$folder/installed/bin/aval" check --plugin running_sum/build/running_sum.so my::RunningSum >"$folder/undeclared" || true # its backward may see it, or not
grep -q "no sample says which shapes its outputs have" "$folder/undeclared" || { cat "$folder/undeclared"; exit 1; }
sed -i 's/{ \.inputs = "\[2,5\]" }/{ .inputs = "[2,5]", AVAL_GIVES("[2,5]") }/' running_sum/running_sum.c
cmake --build running_sum/build >/dev/null
if "$folder/installed/bin/aval" check --plugin running_sum/build/running_sum.so my::RunningSum >"$folder/declared"; then echo "a flattened shape passes"; exit 1; fi
grep -q "output Y is float\[10\] by infer, but the sample says float\[2,5\]" "$folder/declared" || { cat "$folder/declared"; exit 1; }
# An axis that the sample has not is refused where the shape is made, by name.
sed -i 's/"axis=1"/"axis=3"/' row_mean/row_mean.c
cmake --build row_mean/build >/dev/null
if "$folder/installed/bin/aval" check --plugin row_mean/build/row_mean.so my::RowMean >"$folder/axis" 2>&1; then echo "axis 3 of 3 passes"; exit 1; fi
grep -q "axis: expected an axis of a tensor that has 3, found 3" "$folder/axis" || { cat "$folder/axis"; exit 1; }
for file in $(grep -oE '\]\([A-Za-z./_-]+\)' "$page" | tr -d '()]'); do
    [ -e "$source/docs/$file" ] || { echo "$page points at $file, which is not there"; exit 1; }
done
