# SPDX-License-Identifier: Apache-2.0
# One export file per target with a dependency of its own, so that a host without it can still use the others.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/buddy)

install(TARGETS buddy EXPORT buddyTargets FILE_SET HEADERS)
install(EXPORT buddyTargets NAMESPACE buddy:: DESTINATION ${package_dir})
install(TARGETS buddy_io EXPORT buddyIoTargets FILE_SET HEADERS)
install(EXPORT buddyIoTargets NAMESPACE buddy:: DESTINATION ${package_dir})
if(BUDDY_ENABLE_CUDA)
  install(TARGETS buddy_cuda EXPORT buddyCudaTargets FILE_SET HEADERS)
  install(EXPORT buddyCudaTargets NAMESPACE buddy:: DESTINATION ${package_dir})
endif()

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/buddyConfig.cmake.in buddyConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(buddyConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/buddyConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/buddyConfigVersion.cmake
        DESTINATION ${package_dir})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
