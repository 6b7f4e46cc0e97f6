# tests/*_test.c   a cmocka program each, linked with the library's internals
# tests/*_test.sh  a script each, called with the command and the folder of golden cases
# tests/support/*.c  linked into every test program; any other tests/*.c is a program of its own in build/tests/
# fuzz/fuzz_NAME.c + fuzz/replay.c  replay the inputs in fuzz/corpus/NAME
# PIPPIN_SHARED and PIPPIN_SOURCE are the folders of golden cases and of this repository. Each test runs in a folder of
# its own; 77 is the exit status of a script that could not run.
set(TEST_DIR ${CMAKE_BINARY_DIR}/tests)

function(pippin_test_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE pippin_static)
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE PIPPIN_SHARED="${PIPPIN_SHARED_DIR}" PIPPIN_SOURCE="${CMAKE_CURRENT_SOURCE_DIR}")
  target_compile_options(${name} PRIVATE -UNDEBUG)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${TEST_DIR})
endfunction()

function(pippin_test name)
  file(MAKE_DIRECTORY ${TEST_DIR}/run/${name})
  add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY ${TEST_DIR}/run/${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 400 SKIP_RETURN_CODE 77)
endfunction()

file(GLOB SUPPORT CONFIGURE_DEPENDS tests/support/*.c)
file(GLOB TEST_SOURCES CONFIGURE_DEPENDS tests/*.c)
foreach(file ${TEST_SOURCES})
  get_filename_component(name ${file} NAME_WE)
  if(name MATCHES "_test$")
    pippin_test_program(${name} ${file} ${SUPPORT})
    target_link_libraries(${name} PRIVATE PkgConfig::CMOCKA)
    pippin_test(${name} ${name})
  else()
    pippin_test_program(${name} ${file})
  endif()
endforeach()

if(NOT PIPPIN_FUZZ)
  foreach(file ${FUZZERS})
    get_filename_component(name ${file} NAME_WE)
    string(REGEX REPLACE "^fuzz_" "" name ${name})
    pippin_test_program(replay_${name} ${file} fuzz/replay.c)
    pippin_test(replay_${name} replay_${name} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${name})
  endforeach()
endif()

if(TARGET pippin)
  file(GLOB SCRIPTS CONFIGURE_DEPENDS tests/*_test.sh)
  foreach(file ${SCRIPTS})
    get_filename_component(name ${file} NAME_WE)
    pippin_test(${name}_sh bash ${file} $<TARGET_FILE:pippin> ${PIPPIN_SHARED_DIR})
  endforeach()
  pippin_test(house bash ${CMAKE_CURRENT_SOURCE_DIR}/tests/check_house.sh ${CMAKE_BINARY_DIR})
endif()
