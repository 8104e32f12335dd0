# SPDX-License-Identifier: Apache-2.0
# Options, and how our own code is compiled.
option(SABOT_WERROR "Warnings are errors" OFF)
set(SABOT_ROCKSDB AUTO CACHE STRING "State in RocksDB: AUTO (when it is there), ON, OFF")
set(SABOT_JEMALLOC AUTO CACHE STRING "Programs allocate with jemalloc: AUTO (when it is there), ON, OFF")
set(SABOT_TESTS AUTO CACHE STRING "Build tests: AUTO (when cmocka is there), ON, OFF")
set(SABOT_SANITIZE "" CACHE STRING "Sanitizers: address,undefined | thread | fuzzer,address,undefined")
option(SABOT_COVERAGE "Count covered lines (lcov)" OFF)
foreach(choice SABOT_ROCKSDB SABOT_JEMALLOC SABOT_TESTS)
    set_property(CACHE ${choice} PROPERTY STRINGS AUTO ON OFF)
endforeach()

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_C_FLAGS_RELEASE "-O2 -g") # no NDEBUG; no -march: one build runs on every CPU
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g3 -fno-omit-frame-pointer")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g3 -fno-omit-frame-pointer")

set(SABOT_WARNINGS -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wswitch-enum)
set(SABOT_C_WARNINGS -Wstrict-prototypes -Wmissing-prototypes)
if(SABOT_WERROR)
    list(APPEND SABOT_WARNINGS -Werror)
endif()

# Hardening of the release build. Sanitizers and _FORTIFY_SOURCE get in each other's way.
set(SABOT_HARDEN "")
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT SABOT_SANITIZE)
    list(APPEND SABOT_HARDEN -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
    foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection)
        string(MAKE_C_IDENTIFIER "SABOT_HAVE${flag}" have)
        check_c_compiler_flag(${flag} ${have})
        if(${have})
            list(APPEND SABOT_HARDEN ${flag})
        endif()
    endforeach()
endif()

# Position independent programs, so that address randomisation covers them.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

# Our flags for one of our own targets.
function(sabot_compile target)
    set_target_properties(${target} PROPERTIES C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden)
    target_compile_options(${target} PRIVATE ${SABOT_WARNINGS} ${SABOT_HARDEN}
        $<$<COMPILE_LANGUAGE:C>:${SABOT_C_WARNINGS}>)
    target_link_options(${target} PRIVATE LINKER:-z,relro,-z,now,--as-needed)
    if(SABOT_SANITIZE)
        # libFuzzer's own main is linked into the fuzz targets only: here just the instrumentation.
        string(REPLACE "fuzzer," "fuzzer-no-link," sanitize "${SABOT_SANITIZE}")
        set(flags -fsanitize=${sanitize} -fno-sanitize-recover=all -fno-omit-frame-pointer)
        target_compile_options(${target} PRIVATE ${flags})
        target_link_options(${target} PRIVATE ${flags})
    endif()
    if(SABOT_COVERAGE)
        # Not optimised: branches are those of the source.
        target_compile_options(${target} PRIVATE --coverage -fprofile-update=atomic -O0)
        target_link_options(${target} PRIVATE --coverage)
    endif()
endfunction()

# A program of ours. Under ThreadSanitizer it brings thrd_*, mtx_* and cnd_* for librdkafka, see the file.
function(sabot_program name)
    set(sources ${ARGN})
    if(SABOT_SANITIZE MATCHES "thread")
        list(APPEND sources ${CMAKE_SOURCE_DIR}/test/support/tsan_threads.c)
    endif()
    add_executable(${name} ${sources})
    target_compile_definitions(${name} PRIVATE _GNU_SOURCE)
    set_target_properties(${name} PROPERTIES LINKER_LANGUAGE C)
    sabot_compile(${name})
endfunction()
