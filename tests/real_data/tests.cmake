# configs/mes_machine_cost.yaml and configs/machine_energy.yaml on the files of ../shared/data.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME real_data COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/real_data_test.py $<TARGET_FILE:takt>)
set_tests_properties(real_data PROPERTIES SKIP_RETURN_CODE 77)
