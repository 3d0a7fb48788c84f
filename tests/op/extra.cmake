# Plugins with planted mistakes, one file each, and a good one among them.
file(GLOB bad_plugins CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/op/bad/*.c)
foreach(plugin ${bad_plugins})
    get_filename_component(name ${plugin} NAME_WE)
    add_library(bad_${name} MODULE ${plugin})
    set_target_properties(bad_${name} PROPERTIES PREFIX "" OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bad_plugins)
    add_dependencies(test_op bad_${name})
endforeach()
