# SPDX-License-Identifier: Apache-2.0
# Headers, libraries, the command, sabot.pc and the CMake package (find_package(sabot), sabot::sabot, sabot_add_app).
include(CMakePackageConfigHelpers)
set(SABOT_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/sabot)

install(FILES ${SABOT_HEADERS} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/sabot)
install(TARGETS sabot_static sabot_shared sabot_headers EXPORT sabot-targets)
if(TARGET sabot)
    install(TARGETS sabot)
endif()
install(EXPORT sabot-targets NAMESPACE sabot:: DESTINATION ${SABOT_PACKAGE_DIR})

configure_package_config_file(cmake/sabot-config.cmake.in ${CMAKE_BINARY_DIR}/sabot-config.cmake
    INSTALL_DESTINATION ${SABOT_PACKAGE_DIR})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/sabot-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/sabot-config.cmake ${CMAKE_BINARY_DIR}/sabot-config-version.cmake
    cmake/SabotApp.cmake DESTINATION ${SABOT_PACKAGE_DIR})

set(SABOT_PC_LIBS "-lpthread -ldl -lm")
if(SABOT_HAVE_ROCKSDB)
    string(PREPEND SABOT_PC_LIBS "-lrocksdb ")
endif()
configure_file(cmake/sabot.pc.in ${CMAKE_BINARY_DIR}/sabot.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/sabot.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
