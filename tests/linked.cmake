# linked.cmake -- tests of what malloc has not: programs that are linked with Ashlar.
#
# Variants and labels are as in blackbox.cmake, which includes it.

# ---- kmem, examples: programs that are linked with Ashlar, for what malloc has not ---------------

if(TARGET ashlar_static AND NOT ASHLAR_SLOB_ONLY)
  foreach(name kmem/kmem kmem/mempool kmem/statistics memory/cache_rounds threads/fork_locks)
    get_filename_component(target ${name}_test NAME)
    blackbox_tests(${target} ${bb}/${name}_test.cpp)
    target_link_libraries(${target} PRIVATE ashlar_static)
  endforeach()
  # C all the way: no C++ runtime is linked.
  foreach(name kmem/own_names kmem/carried_over examples/server)
    get_filename_component(target ${name} NAME)
    add_executable(${target} ${bb}/${name}.c)
    blackbox_options(${target})
    set_target_properties(${target} PROPERTIES C_STANDARD 11 LINKER_LANGUAGE C
      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/blackbox)
    target_link_libraries(${target} PRIVATE ashlar_static Threads::Threads)
  endforeach()
  blackbox_test(threads.fork_locks VARIANTS static LABELS threads slow COMMAND fork_locks_test)
  blackbox_test(memory.cache_rounds_hundred_thousand VARIANTS static LABELS memory slow TIMEOUT 600
    ENV ASHLAR_TEST_CACHES=100000 COMMAND cache_rounds_test)
  # By what the variants of preloaded programs differ in.
  set(environment_of_default ASHLAR_CONF=)
  set(environment_of_fallback GLIBC_TUNABLES=glibc.pthread.rseq=0)
  set(environment_of_slabs ASHLAR_CONF=slob_max:0)
  set(environment_of_slob ASHLAR_CONF=slob_max:unlimited)
  foreach(kind default fallback slabs slob)
    foreach(program kmem_test mempool_test statistics_test own_names carried_over)
      blackbox_test(kmem.${program}.${kind} VARIANTS static LABELS kmem
        ENV ${environment_of_${kind}} COMMAND ${program})
    endforeach()
    blackbox_test(examples.server.${kind} VARIANTS static LABELS examples
      ENV ${environment_of_${kind}} COMMAND server)
    blackbox_test(memory.cache_rounds.${kind} VARIANTS static LABELS memory
      ENV ${environment_of_${kind}} COMMAND cache_rounds_test)
  endforeach()
endif()

# ---- include: the C++ headers ------------------------------------------------------------------

# As C++20 over the shared library, and as C++17 over the static one.
set(include_suites ObjectCache ReuseCache Pool Allocator MemoryResource)
set(include_sources object_cache reuse_cache pool allocator memory_resource)
list(TRANSFORM include_sources PREPEND ${bb}/include/)
list(TRANSFORM include_sources APPEND _test.cpp)
function(include_program target library standard)
  blackbox_program(${target} ${ARGN})
  set_target_properties(${target} PROPERTIES CXX_STANDARD ${standard})
  target_compile_options(${target} PRIVATE -pedantic)
  target_link_libraries(${target} PRIVATE ${library})
endfunction()
if(TARGET ashlar_static AND NOT ASHLAR_SLOB_ONLY)
  include_program(include_shared ashlar_shared 20 ${include_sources})
  include_program(include_static ashlar_static 17 ${include_sources})
  foreach(suite IN LISTS include_suites)
    blackbox_test(include.${suite} VARIANTS preload fallback slabs fallback_slabs slob
      LABELS include COMMAND include_shared --gtest_filter=${suite}.*)
    blackbox_test(include.${suite} VARIANTS static LABELS include
      COMMAND include_static --gtest_filter=${suite}.*)
  endforeach()

  # Parts of a program that are hidden from one another.
  add_library(include_hidden_part SHARED ${bb}/include/hidden_part.cpp)
  blackbox_options(include_hidden_part)
  target_link_libraries(include_hidden_part PUBLIC ashlar_shared)
  include_program(include_parts include_hidden_part 17 ${bb}/include/parts_test.cpp)
  foreach(part include_hidden_part include_parts)
    target_compile_options(${part} PRIVATE -fvisibility=hidden)
  endforeach()
  foreach(program include_shared include_static include_parts)
    target_link_libraries(${program} PRIVATE blackbox_main)
  endforeach()
  blackbox_test(include.Parts VARIANTS preload LABELS include COMMAND include_parts)

  # The example of the headers' users: the same index over each kind of memory.
  include_program(example_containers ashlar_static 17 ${bb}/examples/containers.cpp)
  blackbox_test(examples.containers VARIANTS static LABELS include COMMAND example_containers)
endif()
