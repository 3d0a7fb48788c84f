# The planted plugins, one a fault; see planted.c.
foreach(fault RANGE 25)
    add_library(planted_${fault} MODULE ${CMAKE_CURRENT_SOURCE_DIR}/check/planted.c)
    target_compile_definitions(planted_${fault} PRIVATE FAULT=${fault})
    target_compile_options(planted_${fault} PRIVATE -Wno-overlength-strings)
    set_target_properties(planted_${fault} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/planted)
    add_dependencies(test_check planted_${fault})
endforeach()
# test_devices.c runs the program over PoCL split in two, one half of which lies.
target_sources(test_check PRIVATE ${CMAKE_CURRENT_LIST_DIR}/command.c)
target_link_libraries(test_check PRIVATE ${JANSSON_LIBRARY})
if(AVAL_SANITIZE)
    target_compile_definitions(test_check PRIVATE AVAL_TEST_SANITIZED)
endif()
target_compile_definitions(test_check PRIVATE AVAL_PROGRAM="$<TARGET_FILE:aval_cli>"
    AVAL_TEST_LAYER="${CMAKE_BINARY_DIR}/tests/opencl_layer.so")
add_dependencies(test_check aval_cli opencl_test_layer)
foreach(plugin ${AVAL_PLUGINS})
    get_filename_component(name ${plugin} NAME_WE)
    if(TARGET plugin_${name})
        add_dependencies(test_check plugin_${name})
    endif()
endforeach()
# What waits for time limits.
aval_suites_apart(check time_limits slow slow_device)
aval_suites_apart(check programs programs "lying_device|doubles|vote|subgradient|models")
# Once more as GPUs run them: work-groups that share a reduction, with barriers.
foreach(op ReduceSum ReduceMax Softmax LogSoftmax SoftmaxCrossEntropyLoss CrossEntropy BatchNormalization)
    add_test(NAME check_as_gpu_${op} COMMAND aval_cli check --in-process --quick ${op})
    set_tests_properties(check_as_gpu_${op} PROPERTIES LABELS programs
        ENVIRONMENT "AVAL_GROUP=64;OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd;AVAL_CACHE_DIR=${CMAKE_BINARY_DIR}/test-cache-check")
endforeach()
# The plugin of planted faults, and what names them: faults/faults.h has the list.
add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/planted/faults.cl.h
    COMMAND embed text ${CMAKE_CURRENT_LIST_DIR}/faults/faults.cl ${CMAKE_BINARY_DIR}/planted/faults.cl.h ${CMAKE_SOURCE_DIR}/kernels
    DEPENDS embed ${CMAKE_CURRENT_LIST_DIR}/faults/faults.cl ${AVAL_KERNEL_HEADERS})
add_library(faults MODULE ${CMAKE_CURRENT_LIST_DIR}/faults/faults.c ${CMAKE_BINARY_DIR}/planted/faults.cl.h)
target_include_directories(faults PRIVATE ${CMAKE_BINARY_DIR}/planted)
set_target_properties(faults PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/planted)
target_link_libraries(faults PRIVATE m)
add_test(NAME planted_faults COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/faults/run.py ${CMAKE_BINARY_DIR})
set_tests_properties(planted_faults PROPERTIES LABELS slow)
# `aval check OP` of the slowest operators and of each sixteenth, loosely: times.py.
add_test(NAME check_times COMMAND python3 ${CMAKE_CURRENT_LIST_DIR}/times.py ${CMAKE_BINARY_DIR} --processor --slice 0/16 LSTM GRU RNN TopK Resize)
set_tests_properties(check_times PROPERTIES LABELS slow)
