# Programs that compute the answers of the reference pipeline without takt.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME oracle/plant_cases COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/oracle/plant_cases_test)
set_tests_properties(oracle/plant_cases PROPERTIES SKIP_RETURN_CODE 77 COST 12)
