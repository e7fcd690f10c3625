# Targets: mlflow_artifacts::mlflow_artifacts (the shared library) and mlflow_artifacts::mlflow_artifacts_static.

# From where this file stands, so that the tree may be moved. Links are resolved first: /lib may be one to /usr/lib.
get_filename_component(_mlflow_artifacts_prefix "${CMAKE_CURRENT_LIST_DIR}" REALPATH)
get_filename_component(_mlflow_artifacts_prefix "${_mlflow_artifacts_prefix}/@UP@" ABSOLUTE)
set(_mlflow_artifacts_libdir "${_mlflow_artifacts_prefix}/@LIBDIR@")

if(NOT TARGET mlflow_artifacts::mlflow_artifacts)
  add_library(mlflow_artifacts::mlflow_artifacts SHARED IMPORTED)
  set_target_properties(mlflow_artifacts::mlflow_artifacts PROPERTIES
    IMPORTED_LOCATION "${_mlflow_artifacts_libdir}/@SHARED@"
    IMPORTED_SONAME "@SONAME@"
    INTERFACE_INCLUDE_DIRECTORIES "${_mlflow_artifacts_prefix}/@INCLUDEDIR@")
endif()

# Distributions may leave the archive out.
if(NOT TARGET mlflow_artifacts::mlflow_artifacts_static AND EXISTS "${_mlflow_artifacts_libdir}/libmlflow_artifacts.a")
  add_library(mlflow_artifacts::mlflow_artifacts_static STATIC IMPORTED)
  set_target_properties(mlflow_artifacts::mlflow_artifacts_static PROPERTIES
    IMPORTED_LOCATION "${_mlflow_artifacts_libdir}/libmlflow_artifacts.a"
    IMPORTED_LINK_INTERFACE_LANGUAGES C
    INTERFACE_LINK_LIBRARIES "@NATIVE_LIST@"
    INTERFACE_INCLUDE_DIRECTORIES "${_mlflow_artifacts_prefix}/@INCLUDEDIR@")
endif()

unset(_mlflow_artifacts_libdir)
unset(_mlflow_artifacts_prefix)
