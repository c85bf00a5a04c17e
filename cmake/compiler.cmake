# What each kind of compiler is told. Gate and releases are gcc's; MSVC's flags are there so that it can be tried.

# exshadow_compiler_options(ID OUT): the options for CMAKE_CXX_COMPILER_ID.
function(exshadow_compiler_options id out)
  if(id STREQUAL "MSVC")
    set(${out} /W4 /EHsc /utf-8 /permissive- /Zc:__cplusplus /bigobj PARENT_SCOPE)
    return()
  endif()
  set(options -Wall -Wextra -Wconversion -Wshadow -Werror)
  if(id STREQUAL "GNU")
    list(APPEND options -Wno-restrict)  # gcc 12 sees overlaps in std::string's operator+: gcc bug 105651
  endif()
  set(${out} ${options} -fvisibility=hidden PARENT_SCOPE)
endfunction()

# exshadow_compiler_release(ID OUT): for CMAKE_BUILD_TYPE Release. Checks are always on: no NDEBUG, no -march=native.
function(exshadow_compiler_release id out)
  if(id STREQUAL "MSVC")
    set(${out} "/O2" PARENT_SCOPE)
  else()
    set(${out} "-O3" PARENT_SCOPE)
  endif()
endfunction()

# exshadow_compiler_small(ID OUT): for what only waits, or is built for every test run.
function(exshadow_compiler_small id out)
  if(id STREQUAL "MSVC")
    set(${out} /O1 PARENT_SCOPE)
  else()
    set(${out} -O1 PARENT_SCOPE)
  endif()
endfunction()

# exshadow_compiler_static(ID OUT): link options by which a program for Windows needs no library of the compiler.
# MSVC has that in CMAKE_MSVC_RUNTIME_LIBRARY.
function(exshadow_compiler_static id out)
  if(id STREQUAL "MSVC")
    set(${out} "" PARENT_SCOPE)
  else()
    set(${out} -static PARENT_SCOPE)
  endif()
endfunction()
