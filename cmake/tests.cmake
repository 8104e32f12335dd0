# SPDX-License-Identifier: Apache-2.0
# Tests are found by their place and name:
#   test/unit/test_*.c    cmocka programs: ctest unit.<name>
#   test/kafka/test_*.c   the same against the test run's broker (SABOT_TEST_BROKER): kafka.<name>
#   test/fuzz/fuzz_*.c    libFuzzer targets in the fuzz preset, else a replay of the corpus: fuzz.<name>
#   test/e2e/*.py, *.sh   the built command: e2e.<name>, or kafka.<name> when called kafka_*
#   test/golden/*.py      cases with expected output: golden.<name>
#   tools/lint <name>     checks of the source itself: lint.<name>, tidy.all
pkg_check_modules(CMOCKA cmocka)
find_program(SABOT_PYTHON python3 HINTS /usr/bin)
if(NOT CMOCKA_FOUND OR NOT SABOT_PYTHON)
    if(SABOT_TESTS STREQUAL "ON")
        message(FATAL_ERROR "SABOT_TESTS=ON, but cmocka or python3 is missing: run tools/install-deps check")
    endif()
    message(STATUS "No cmocka or no python3: tests are not built (tools/install-deps check)")
    return()
endif()

# C++ is for oracles in tests only; without it, or without simdjson, those tests are left out.
include(CheckLanguage)
check_language(CXX)
if(CMAKE_CXX_COMPILER)
    enable_language(CXX)
    pkg_check_modules(SIMDJSON simdjson)
endif()

# What a test sees: SABOT is the command; SABOT_BUILD_DIR has the apps. Options of the caller have no say.
set(TEST_ENVIRONMENT
    "SABOT_BUILD_DIR=${CMAKE_BINARY_DIR}" "SABOT_SOURCE_DIR=${CMAKE_SOURCE_DIR}"
    "SABOT=${CMAKE_BINARY_DIR}/sabot" "SABOT_SANITIZE=${SABOT_SANITIZE}" "PYTHONDONTWRITEBYTECODE=1"
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=1"
    "UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1"
    "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1"
    "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/test/support/lsan.supp:print_suppressions=0"
    "LC_ALL=C.UTF-8")

# sabot_test(<label> <name> <timeout> <command>...): exit 77 means skipped.
function(sabot_test label name timeout)
    add_test(NAME ${label}.${name} COMMAND ${ARGN})
    set_tests_properties(${label}.${name} PROPERTIES LABELS ${label} TIMEOUT ${timeout} SKIP_RETURN_CODE 77
        ENVIRONMENT "${TEST_ENVIRONMENT}" WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
    if(label STREQUAL "kafka")
        set_tests_properties(kafka.${name} PROPERTIES FIXTURES_REQUIRED broker)
    endif()
endfunction()

file(GLOB SUPPORT_SOURCES CONFIGURE_DEPENDS test/support/*.c)
list(FILTER SUPPORT_SOURCES EXCLUDE REGEX "/tsan_threads\\.c$")

# What tests share, compiled once; a program takes what it uses.
add_library(test_support STATIC ${SUPPORT_SOURCES})
target_include_directories(test_support PRIVATE ${CMAKE_SOURCE_DIR}/test ${CMAKE_SOURCE_DIR}/test/support)
target_include_directories(test_support SYSTEM PRIVATE ${CMOCKA_INCLUDE_DIRS})
target_link_libraries(test_support PRIVATE sabot_internal)
sabot_compile(test_support)

# sabot_test_program(<target> <folder> <source>...)
function(sabot_test_program target folder)
    sabot_program(${target} ${ARGN})
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/${folder})
    target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/test ${CMAKE_SOURCE_DIR}/test/support)
    target_include_directories(${target} SYSTEM PRIVATE ${CMOCKA_INCLUDE_DIRS})
    target_link_libraries(${target} PRIVATE sabot_internal test_support sabot_static ${CMOCKA_LIBRARIES})
endfunction()

set(BROKER ${SABOT_PYTHON} ${CMAKE_SOURCE_DIR}/test/kafka/broker.py --dir ${CMAKE_BINARY_DIR}/kafka)

foreach(label unit kafka)
    file(GLOB sources CONFIGURE_DEPENDS test/${label}/test_*.c)
    if(SIMDJSON_FOUND AND NOT SABOT_SANITIZE MATCHES "thread")
        file(GLOB more CONFIGURE_DEPENDS test/${label}/test_*.cpp)
        list(APPEND sources ${more})
    endif()
    foreach(source ${sources})
        cmake_path(GET source STEM target)
        string(REGEX REPLACE "^test_" "" name ${target})
        if(label STREQUAL "kafka")
            set(target test_kafka_${name})
        endif()
        sabot_test_program(${target} test/${label} ${source})
        if(source MATCHES "\\.cpp$")
            set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
            target_link_libraries(${target} PRIVATE ${SIMDJSON_LIBRARIES})
        endif()
        if(label STREQUAL "kafka")
            sabot_test(kafka ${name} 300 ${BROKER} client -- $<TARGET_FILE:${target}>)
        else()
            sabot_test(unit ${name} 120 ${target})
        endif()
    endforeach()
endforeach()

# The simulator with the ledger in it.
file(GLOB SIM_SOURCES CONFIGURE_DEPENDS test/sim/*.c)
sabot_program(sabot-sim ${SIM_SOURCES})
target_link_libraries(sabot-sim PRIVATE sabot_internal sabot_static)

file(GLOB FUZZERS CONFIGURE_DEPENDS test/fuzz/fuzz_*.c)
foreach(source ${FUZZERS})
    cmake_path(GET source STEM target)
    string(REGEX REPLACE "^fuzz_" "" name ${target})
    set(corpus ${CMAKE_SOURCE_DIR}/test/fuzz/corpus/${name})
    if(SABOT_SANITIZE MATCHES "fuzzer")
        sabot_test_program(${target} fuzz ${source})
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    else()
        sabot_test_program(${target} fuzz ${source} test/fuzz/replay_main.c)
        sabot_test(fuzz ${name} 120 ${target} ${corpus})
    endif()
endforeach()

# The same with planted bugs (base/mutant.h), of which SABOT_MUTANT=k makes one real.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT SABOT_SANITIZE)
    add_library(sabot_mutants OBJECT ${SABOT_SOURCES})
    set_target_properties(sabot_mutants PROPERTIES POSITION_INDEPENDENT_CODE ON)
    target_compile_definitions(sabot_mutants PUBLIC SB_MUTANTS)
    target_link_libraries(sabot_mutants PRIVATE sabot_internal)
    sabot_compile(sabot_mutants)
    sabot_program(sabot-sim-mutants ${SIM_SOURCES} $<TARGET_OBJECTS:sabot_mutants>)
    target_compile_definitions(sabot-sim-mutants PRIVATE SB_MUTANTS)
    target_link_directories(sabot-sim-mutants PRIVATE ${SABOT_LIBRARY_DIRS})
    target_link_libraries(sabot-sim-mutants PRIVATE sabot_internal ${SABOT_LIBRARIES})
    sabot_test(sim mutants 900 ${SABOT_PYTHON} ${CMAKE_SOURCE_DIR}/test/sim/run.py mutants)
endif()

# The same, counting which error branches of checkpoints and recovery it takes: `run.py long` wants gcov's counters.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT SABOT_SANITIZE AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    file(GLOB COUNTED CONFIGURE_DEPENDS src/ckpt/*.c src/api/recovery*.c src/flow/carrier.c src/flow/checkpoint.c
         src/flow/stage.c src/flow/gate.c src/state/image*.c src/state/snapshot.c src/state/restore.c)
    add_library(sabot_counted OBJECT ${COUNTED})
    target_compile_options(sabot_counted PRIVATE --coverage)
    target_link_libraries(sabot_counted PRIVATE sabot_internal)
    sabot_compile(sabot_counted)
    sabot_program(sabot-sim-reach ${SIM_SOURCES} $<TARGET_OBJECTS:sabot_counted>)
    target_link_options(sabot-sim-reach PRIVATE --coverage)
    target_link_libraries(sabot-sim-reach PRIVATE sabot_internal sabot_static)
endif()

set(sim_tests long twice seeds)
if(SABOT_SANITIZE)
    set(sim_tests few)
endif()
foreach(name ${sim_tests})
    sabot_test(sim ${name} 1800 ${SABOT_PYTHON} ${CMAKE_SOURCE_DIR}/test/sim/run.py ${name})
endforeach()
list(GET sim_tests 0 sim_jobs) # it has as many jobs as the machine has CPUs
set_tests_properties(sim.${sim_jobs} PROPERTIES RUN_SERIAL ON)

file(GLOB SCRIPTS CONFIGURE_DEPENDS test/e2e/*.py test/e2e/*.sh test/golden/*.py test/golden/*.sh)
foreach(script ${SCRIPTS})
    cmake_path(GET script STEM name)
    set(command ${SABOT_PYTHON})
    if(script MATCHES "\\.sh$")
        set(command bash)
    endif()
    if(name MATCHES "^_") # shared by others
    elseif(script MATCHES "/golden/")
        sabot_test(golden ${name} 300 ${command} ${script})
    elseif(name MATCHES "^kafka_")
        string(REGEX REPLACE "^kafka_" "" name ${name})
        sabot_test(kafka ${name} 600 ${BROKER} client -- ${command} ${script})
    else()
        sabot_test(e2e ${name} 600 ${command} ${script})
    endif()
endforeach()

set_tests_properties(kafka.ledger PROPERTIES TIMEOUT 1800) # as long as SABOT_LONG=1 may need

# One broker for all Kafka tests of a ctest run: started before the first, ended after the last.
add_test(NAME kafka.broker_start COMMAND ${BROKER} start)
add_test(NAME kafka.broker_stop COMMAND ${BROKER} stop)
set_tests_properties(kafka.broker_start PROPERTIES FIXTURES_SETUP broker LABELS fixture TIMEOUT 600)
set_tests_properties(kafka.broker_stop PROPERTIES FIXTURES_CLEANUP broker LABELS fixture TIMEOUT 60)

# Checks of the source itself. They look at the release build, with whichever compiler.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT SABOT_SANITIZE)
    foreach(check format source symbols headers docs)
        sabot_test(lint ${check} 300 bash ${CMAKE_SOURCE_DIR}/tools/lint ${check})
    endforeach()
    sabot_test(tidy all 3000 bash ${CMAKE_SOURCE_DIR}/tools/lint tidy)
    set_tests_properties(tidy.all PROPERTIES RUN_SERIAL ON)
endif()
