# The C library as others install and find it: static and shared, with the header, for CMake and for pkg-config.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(header ${PROJECT_SOURCE_DIR}/src/bpkern/include/bpkern.h)
file(STRINGS ${header} abi REGEX "^#define BPKERN_ABI ")
string(REGEX MATCH "[0-9]+" abi "${abi}")

# What a user of either library gets.
function(make_public target name)
  add_library(bpkern::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME bpkern EXPORT_NAME ${name})
  target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src/bpkern/include>
                                                 $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()

# The static library. Its functions call each other by names such as `release`, which a program may have as well. Where
# the linker and objcopy can, they are made local: only bpkern_* are left. Of cross compilers, GCC comes with an objcopy
# of its own; others get the host's, which knows the host's files.
set(has_objcopy ${CMAKE_OBJCOPY})
if(CMAKE_CROSSCOMPILING AND NOT CMAKE_C_COMPILER_ID STREQUAL "GNU")
  set(has_objcopy "")
endif()
if(has_objcopy AND CMAKE_SYSTEM_NAME MATCHES "Linux|BSD" AND NOT BPKERN_SANITIZE)
  set(whole ${CMAKE_CURRENT_BINARY_DIR}/bpkern_whole.o)
  add_custom_command(
    OUTPUT ${whole}
    COMMAND ${CMAKE_C_COMPILER} -r -nostdlib -o ${whole} -Wl,--whole-archive $<TARGET_FILE:bpkern_c>
            -Wl,--no-whole-archive
    COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=bpkern_* ${whole}
    DEPENDS bpkern_c
    VERBATIM)
  add_library(bpkern_static STATIC ${whole})
  set_target_properties(bpkern_static PROPERTIES LINKER_LANGUAGE C)
else()
  add_library(bpkern_static STATIC $<TARGET_OBJECTS:bpkern_c> ${kernel_objects})
endif()
make_public(bpkern_static static)
set(private_libraries "")
if(TARGET Threads::Threads)
  target_link_libraries(bpkern_static INTERFACE Threads::Threads)
  string(APPEND private_libraries " ${CMAKE_THREAD_LIBS_INIT}")
endif()
if(NOT WIN32 AND NOT APPLE)
  target_link_libraries(bpkern_static INTERFACE m)
  string(APPEND private_libraries " -lm")
endif()
if(CMAKE_C_COMPILER_FRONTEND_VARIANT STREQUAL "MSVC") # where bpkern.lib belongs to the DLL
  set_target_properties(bpkern_static PROPERTIES OUTPUT_NAME bpkern_static)
endif()
set(libraries bpkern_static)

# The shared library: the API is compiled once more, with its functions exported.
get_property(has_shared GLOBAL PROPERTY TARGET_SUPPORTS_SHARED_LIBS)
if(has_shared)
  add_library(bpkern_shared SHARED ${api})
  make_public(bpkern_shared shared)
  target_compile_definitions(bpkern_shared PRIVATE BPKERN_EXPORTS BPK_X86=${x86} BPKERN_VERSION="${version}")
  target_compile_options(bpkern_shared PRIVATE ${warnings} ${hardened})
  target_link_options(bpkern_shared PRIVATE ${hardened_links})
  if(CMAKE_SYSTEM_NAME MATCHES "Linux|Android|BSD") # a helper thread may still linger when a program unloads the library
    target_link_options(bpkern_shared PRIVATE -Wl,-z,nodelete)
  endif()
  target_link_libraries(bpkern_shared PRIVATE bpkern_c)
  set_target_properties(bpkern_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${abi})
  list(APPEND libraries bpkern_shared)
  add_library(bpkern::bpkern ALIAS bpkern_shared)
else()
  add_library(bpkern::bpkern ALIAS bpkern_static)
endif()

install(TARGETS ${libraries} EXPORT bpkernTargets
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${header} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

set(config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/bpkern)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/bpkernConfig.cmake.in bpkernConfig.cmake
                              INSTALL_DESTINATION ${config_folder} NO_SET_AND_CHECK_MACRO)
# Before 1.0, a minor version may change the ABI. From then on: SameMajorVersion.
write_basic_package_version_file(bpkernConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT bpkernTargets NAMESPACE bpkern:: DESTINATION ${config_folder})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/bpkernConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/bpkernConfigVersion.cmake
        DESTINATION ${config_folder})

# A prefix may be moved: pkg-config finds the folders from that of the file. The folders that a packager sets may be
# absolute.
set(pc_folder ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH up ${pc_folder} ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" up "${up}")
file(RELATIVE_PATH include_folder ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
file(RELATIVE_PATH library_folder ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_LIBDIR})
configure_file(${PROJECT_SOURCE_DIR}/cmake/bpkern.pc.in bpkern.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/bpkern.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
