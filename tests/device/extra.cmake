# The harness of the device tests, and the OpenCL layer that they run under.
target_sources(test_device PRIVATE ${CMAKE_CURRENT_LIST_DIR}/harness.c ${CMAKE_CURRENT_LIST_DIR}/building.c)
file(GLOB layer_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/../layer/*.c)
add_library(opencl_test_layer MODULE ${layer_sources})
set_target_properties(opencl_test_layer PROPERTIES PREFIX "" OUTPUT_NAME opencl_layer C_VISIBILITY_PRESET hidden
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_dependencies(test_device opencl_test_layer)
target_compile_definitions(test_device PRIVATE AVAL_TEST_LAYER="${CMAKE_BINARY_DIR}/tests/opencl_layer.so")
# Once more as GPUs run it: work-groups that share a reduction, tiles in local memory.
add_test(NAME device_as_gpu COMMAND test_device -j2 --filter "gemm/*")
set_tests_properties(device_as_gpu PROPERTIES ENVIRONMENT "AVAL_GROUP=64" LABELS programs)
aval_suites_apart(device programs programs "gemm|gemm_blocks|kernels|tuning|hostile_cache")
# Each set of CLBlast's parameters is a build of its programs, seconds long.
aval_suites_apart(device clblast_parameters slow clblast_parameters)
