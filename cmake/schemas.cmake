# The schemas of schemas/*.fbs as flatc makes them, below ${CMAKE_BINARY_DIR}/schemas: NAME.bfbs for whoever reads schemas at run
# time, NAME_generated.h ("schemas/NAME_generated.h") for our own writers. Targets that include such a header depend on
# takt_schemas_generated; whoever links takt_schemas or takt_sources_decode does so by that.
function(takt_schemas_generate)
  set(folder ${CMAKE_BINARY_DIR}/schemas)
  file(MAKE_DIRECTORY ${folder})
  file(GLOB schemas CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/schemas/*.fbs)
  set(outputs)
  foreach(schema ${schemas})
    get_filename_component(name ${schema} NAME_WE)
    add_custom_command(
      OUTPUT ${folder}/${name}.bfbs ${folder}/${name}_generated.h
      COMMAND ${FLATC} --binary --schema -o ${folder} ${schema}
      COMMAND ${FLATC} --cpp --scoped-enums -o ${folder} ${schema}
      # Our warnings are for our own code.
      COMMAND sed -i "1i #pragma GCC system_header" ${folder}/${name}_generated.h
      DEPENDS ${schemas}
      COMMENT "flatc schemas/${name}.fbs")
    list(APPEND outputs ${folder}/${name}.bfbs ${folder}/${name}_generated.h)
  endforeach()
  add_custom_target(takt_schemas_generated DEPENDS ${outputs})
endfunction()

takt_schemas_generate()
# The components do not exist yet where this file is included.
cmake_language(DEFER CALL add_dependencies takt_schemas takt_schemas_generated)
cmake_language(DEFER CALL add_dependencies takt_sources_decode takt_schemas_generated)
