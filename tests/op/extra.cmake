# Plugins with planted mistakes, one file each, and a good one among them.
file(GLOB bad_plugins CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/op/bad/*.c)
foreach(plugin ${bad_plugins})
    get_filename_component(name ${plugin} NAME_WE)
    add_library(bad_${name} MODULE ${plugin})
    set_target_properties(bad_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bad_plugins)
    add_dependencies(test_op bad_${name})
endforeach()
# A plugin with an operator of each kind against the header of the day when the ABI is settled: it must load, and its operators must pass, with
# every later aval, and nothing of that header may move.
set(frozen_folder ${CMAKE_CURRENT_SOURCE_DIR}/op/frozen)
set(frozen_header ${frozen_folder}/aval-plugin-1.h)
add_library(frozen_1 MODULE ${frozen_folder}/plugin_1.c)
set_target_properties(frozen_1 PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/frozen)
add_dependencies(test_op frozen_1)
add_test(NAME frozen_plugin_1 COMMAND aval_cli check --in-process --plugin $<TARGET_FILE:frozen_1>
    frozen::Bend frozen::Energy frozen::Flip frozen::Outer frozen::Part frozen::Decay frozen::Parity)
set_tests_properties(frozen_plugin_1 PROPERTIES LABELS programs
    ENVIRONMENT "OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd;AVAL_CACHE_DIR=${CMAKE_BINARY_DIR}/test-cache-frozen")
add_test(NAME frozen_layout_1 COMMAND python3 ${frozen_folder}/layout.py ${frozen_header} ${CMAKE_C_COMPILER}
    ${CMAKE_SOURCE_DIR}/include/aval/plugin.h)
