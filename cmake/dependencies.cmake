# Finds what the build needs, and names the Debian package when something is missing.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

find_package(Threads REQUIRED)

# exshadow_headers(NAME HEADER PACKAGE): the target NAME, with only the header-only library that HEADER belongs to
# on its include path. A cross build must not see the whole of /usr/include, so there the library is linked into the
# build tree. Elsewhere the system's folder is searched anyway; without a path of its own every build tree asks the
# compiler the same, and ccache answers the second.
function(exshadow_headers name header package)
  find_path(${name}_INCLUDE_DIR ${header} PATHS /usr/include NO_CMAKE_FIND_ROOT_PATH)
  if(NOT ${name}_INCLUDE_DIR)
    message(FATAL_ERROR "${header} is missing. Install it: apt-get install ${package} (or run: make setup)")
  endif()
  add_library(${name} INTERFACE)
  if(NOT CMAKE_CROSSCOMPILING)
    target_include_directories(${name} SYSTEM INTERFACE ${${name}_INCLUDE_DIR})  # nothing for /usr/include
    return()
  endif()
  string(REGEX REPLACE "/.*" "" top ${header})
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/headers/${name})
  file(CREATE_LINK ${${name}_INCLUDE_DIR}/${top} ${CMAKE_BINARY_DIR}/headers/${name}/${top} SYMBOLIC)
  target_include_directories(${name} SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/headers/${name})
endfunction()

exshadow_headers(exshadow_rapidxml rapidxml/rapidxml.hpp librapidxml-dev)
exshadow_headers(nlohmann_json nlohmann/json.hpp nlohmann-json3-dev)
if(WIN32)
  exshadow_headers(cli11 CLI/CLI.hpp libcli11-dev)
  if(EXSHADOW_TESTS)
    exshadow_headers(doctest doctest/doctest.h doctest-dev)
  endif()
  return()
endif()

find_package(PkgConfig)
if(NOT PkgConfig_FOUND)
  message(FATAL_ERROR "pkg-config is missing. Install it: apt-get install pkg-config (or run: make setup)")
endif()

# exshadow_library(NAME VERSION PACKAGE): the target PkgConfig::NAME, from the Debian package PACKAGE.
# EXSHADOW_STATIC_DEPS makes it the archive beside the shared library.
function(exshadow_library name version package)
  pkg_check_modules(${name} IMPORTED_TARGET GLOBAL ${name}>=${version})
  if(NOT ${name}_FOUND)
    message(FATAL_ERROR "${name} ${version} or newer is missing. "
                        "Install it: apt-get install ${package} (or run: make setup)")
  endif()
  if(EXSHADOW_STATIC_DEPS)
    pkg_get_variable(${name}_libdir ${name} libdir)
    string(REGEX REPLACE "^lib" "" archive ${name})
    set(archive lib${archive}.a)
    find_library(${name}_ARCHIVE NAMES ${archive} HINTS ${${name}_libdir} NO_CACHE)
    if(NOT ${name}_ARCHIVE)
      message(FATAL_ERROR "EXSHADOW_STATIC_DEPS: ${archive} is missing. "
                          "Install it: apt-get install ${package} (or run: make setup)")
    endif()
    set_target_properties(PkgConfig::${name} PROPERTIES INTERFACE_LINK_LIBRARIES ${${name}_ARCHIVE})
  endif()
endfunction()

exshadow_library(liburing 2.3 liburing-dev)

if(EXSHADOW_BINDINGS)
  find_package(Python 3.11 COMPONENTS Interpreter Development.Module)
  if(NOT Python_FOUND)
    message(FATAL_ERROR "Python 3.11 or newer with its headers is missing. "
                        "Install it: apt-get install python3-dev (or run: make setup)")
  endif()
  find_package(pybind11 CONFIG)
  if(NOT pybind11_FOUND)
    message(FATAL_ERROR "pybind11 is missing. It comes with the build through pip: pip install . (or run: make setup)")
  endif()
endif()
if(EXSHADOW_TESTS)
  find_path(DOCTEST_INCLUDE_DIR doctest/doctest.h)
  if(NOT DOCTEST_INCLUDE_DIR)
    message(FATAL_ERROR "doctest is missing. Install it: apt-get install doctest-dev (or run: make setup)")
  endif()
endif()
