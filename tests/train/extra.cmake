# Trainings need the operators.
foreach(plugin ${AVAL_PLUGINS})
    get_filename_component(name ${plugin} NAME_WE)
    if(TARGET plugin_${name})
        add_dependencies(test_train plugin_${name})
    endif()
endforeach()
