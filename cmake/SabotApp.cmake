# SPDX-License-Identifier: Apache-2.0
# sabot_add_app(<name> <source>...)
#
# Build <name>.so, an app for `sabot -A <name>.so:app`. It is not linked to libsabot: the functions it
# calls are those of the command that loads it.
function(sabot_add_app name)
    add_library(${name} MODULE ${ARGN})
    set_target_properties(${name} PROPERTIES PREFIX "" SUFFIX ".so" C_VISIBILITY_PRESET hidden)
    target_compile_features(${name} PRIVATE c_std_11)
    target_link_libraries(${name} PRIVATE sabot::headers m)
endfunction()
