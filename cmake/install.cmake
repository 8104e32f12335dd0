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

# For the static library. Not as Requires.private: that would ask for the static dependencies of librdkafka too.
set(SABOT_PC_LIBS ${SABOT_LIBRARIES})
list(REMOVE_ITEM SABOT_PC_LIBS Threads::Threads)
list(TRANSFORM SABOT_PC_LIBS PREPEND "-l")
list(APPEND SABOT_PC_LIBS -lpthread)
list(JOIN SABOT_PC_LIBS " " SABOT_PC_LIBS)
file(RELATIVE_PATH SABOT_PC_UP "/p/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/p")
configure_file(cmake/sabot.pc.in ${CMAKE_BINARY_DIR}/sabot.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/sabot.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
