# Finds what the build needs, and names the Debian package when something is missing.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

find_package(Threads REQUIRED)
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

# exshadow_rapidxml: headers alone, the same for every target system. They are linked into the build folder, so
# that a cross compiler does not get to see the other headers of /usr/include.
find_path(RAPIDXML_INCLUDE_DIR rapidxml/rapidxml.hpp HINTS /usr/include NO_CMAKE_FIND_ROOT_PATH)
if(NOT RAPIDXML_INCLUDE_DIR)
  message(FATAL_ERROR "rapidxml is missing. Install it: apt-get install librapidxml-dev (or run: make setup)")
endif()
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/headers)
file(CREATE_LINK ${RAPIDXML_INCLUDE_DIR}/rapidxml ${PROJECT_BINARY_DIR}/headers/rapidxml COPY_ON_ERROR SYMBOLIC)
add_library(exshadow_rapidxml INTERFACE)
target_include_directories(exshadow_rapidxml SYSTEM INTERFACE ${PROJECT_BINARY_DIR}/headers)

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
