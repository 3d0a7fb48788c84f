# The planted plugins, one a fault; see planted.c.
foreach(fault 0 1 2 3 4)
    add_library(planted_${fault} MODULE ${CMAKE_CURRENT_SOURCE_DIR}/check/planted.c)
    target_compile_definitions(planted_${fault} PRIVATE FAULT=${fault})
    target_compile_options(planted_${fault} PRIVATE -Wno-overlength-strings)
    set_target_properties(planted_${fault} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/planted)
    add_dependencies(test_check planted_${fault})
endforeach()
