# Compatible is what has the same soname and is not older.
set(PACKAGE_VERSION "@VERSION@")

if(PACKAGE_FIND_VERSION_MAJOR EQUAL 0)
  set(_mlflow_artifacts_wanted "0.${PACKAGE_FIND_VERSION_MINOR}")
else()
  set(_mlflow_artifacts_wanted "${PACKAGE_FIND_VERSION_MAJOR}")
endif()
if(_mlflow_artifacts_wanted STREQUAL "@SERIES@" AND NOT PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
else()
  set(PACKAGE_VERSION_COMPATIBLE FALSE)
endif()
if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
  set(PACKAGE_VERSION_EXACT TRUE)
endif()
unset(_mlflow_artifacts_wanted)

# A program of another width cannot use the library. The variable is empty in a project without languages.
if(CMAKE_SIZEOF_VOID_P AND NOT CMAKE_SIZEOF_VOID_P EQUAL @POINTER_SIZE@)
  set(PACKAGE_VERSION_UNSUITABLE TRUE)
endif()
