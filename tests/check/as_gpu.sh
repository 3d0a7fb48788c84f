#!/bin/bash
# as_gpu.sh BUILD_FOLDER: every operator's small samples as a GPU runs them, on PoCL: reductions by trees of work-groups, matrix products by tiles in local memory
# and by CLBlast, recorded launches, and long launches in parts.
set -u
build=$(readlink -f "${1:?usage: as_gpu.sh BUILD_FOLDER}")
export OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd AVAL_GROUP=64
products="MatMul Gemm aval::MatrixProduct MatMulInteger Conv ConvTranspose ConvInteger aval::Convolution aval::ConvolutionTransposed aval::ConvolutionWeights
    Attention LSTM GRU RNN Einsum"
known=$("$build/aval" ops | awk '{ print $1 }' | sort -u)
part() { # TITLE COMMAND...
    title=$1 start=$(date +%s)
    shift
    "$@" || { echo "as_gpu: $title failed"; exit 1; }
    echo "as_gpu: $title passed in $(($(date +%s) - start)) s"
}
here=()
for op in $products; do
    grep -qx "$op" <<<"$known" && here+=("$op")
done
[ ${#here[@]} -ge 10 ] || { echo "as_gpu: of the operators with products only ${here[*]} are there"; exit 1; }
plan=$("$build/aval" graph mlp --plan 2>/dev/null) || plan=""
case $plan in *gemm_groups*) ;; *) echo "as_gpu: the plan of mlp has no product by tiles in local memory: $plan"; exit 1 ;; esac
AVAL_COMMAND_BUFFERS=1 part "all operators" "$build/aval" check --quick --quiet
AVAL_GEMM=clblast part "products by CLBlast" "$build/aval" check --quick --quiet "${here[@]}"
AVAL_LAUNCH_WORK=20000 part "products in parts" "$build/aval" check --quick --quiet "${here[@]}" Softmax LayerNormalization ReduceSum Resize
AVAL_LAUNCH_WORK=1000000 part "training" "$build/aval" train lenet --epochs 1 --quiet
