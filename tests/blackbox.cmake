# blackbox.cmake -- tests that know Ashlar only as a user does: through LD_PRELOAD or a static link.
#
# ASHLAR_UNDER_TEST is the library to preload. Every program is built once and linked against
# nothing of ours; what it runs on is decided by the environment of each test:
#   glibc      the system's malloc: proves that a rule is C's or glibc's, and not only ours
#   preload    the library by LD_PRELOAD
#   fallback   the same with glibc's rseq switched off, so that magazines belong to threads
#   slabs      the library with object caches from the start, and fallback_slabs the two together
#   slob       the library with SLOB alone, however large the heap
#   static     relinked with libashlar.a
# Labels: the folder and the variant, and `slow` for what takes longer than about twenty seconds.

find_package(GTest REQUIRED)
find_package(Threads REQUIRED)
find_program(ASHLAR_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)

if(NOT DEFINED ASHLAR_UNDER_TEST)
  set(ASHLAR_UNDER_TEST $<TARGET_FILE:ashlar_shared>)
endif()
set(bb ${CMAKE_CURRENT_LIST_DIR})
# ld.so says this of a library that it cannot preload, and goes on with the system's malloc.
set(not_preloaded "from LD_PRELOAD cannot be preloaded")

# Programs that call malloc on purpose: no library of ours, no elided allocation, and exceptions on
# whatever the library itself is built with.
function(blackbox_options target)
  set_target_properties(${target} PROPERTIES CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON)
  target_compile_options(${target} PRIVATE -O1 -g -fno-builtin -Wall -Wextra
    $<$<CXX_COMPILER_ID:GNU>:-Wno-clobbered>
    $<$<COMPILE_LANGUAGE:CXX>:-fexceptions -frtti -Wno-missing-declarations>
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:Clang>>:-Wno-global-constructors>
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-alloc-size-larger-than
      -Wno-mismatched-new-delete -Wno-use-after-free>)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
endfunction()

function(blackbox_program target)
  add_executable(${target} ${ARGN})
  blackbox_options(${target})
  set_target_properties(${target} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/blackbox)
  target_link_libraries(${target} PRIVATE GTest::gtest Threads::Threads ${CMAKE_DL_LIBS})
endfunction()

# Programs of GoogleTest's. What it takes to compile one is mostly gtest.h, and their main() is the
# same: both are compiled once, as programs are, which is not as libraries are.
add_library(blackbox_main OBJECT ${bb}/support/blackbox_main.cpp)
blackbox_options(blackbox_main)
set_target_properties(blackbox_main PROPERTIES POSITION_INDEPENDENT_CODE OFF)
target_compile_options(blackbox_main PRIVATE -fPIE)
target_precompile_headers(blackbox_main PRIVATE <gtest/gtest.h>)
target_link_libraries(blackbox_main PUBLIC GTest::gtest Threads::Threads ${CMAKE_DL_LIBS})

function(blackbox_tests target)
  blackbox_program(${target} ${ARGN})
  target_precompile_headers(${target} REUSE_FROM blackbox_main)
  target_link_libraries(${target} PRIVATE blackbox_main)
endfunction()

# blackbox_test(<name> VARIANTS glibc ... LABELS ... TIMEOUT seconds ENV A=b ... COMMAND ...)
function(blackbox_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "VARIANTS;LABELS;ENV;COMMAND" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  foreach(variant IN LISTS arg_VARIANTS)
    set(environment ASHLAR_TEST_SUBJECT=${variant} ASHLAR_TEST_LIBRARY=${ASHLAR_UNDER_TEST}
      ${arg_ENV})
    if(variant MATCHES "^(preload|fallback|slabs|slob|fallback_slabs)$")
      list(APPEND environment LD_PRELOAD=${ASHLAR_UNDER_TEST})
    endif()
    if(variant MATCHES "^fallback")
      list(APPEND environment GLIBC_TUNABLES=glibc.pthread.rseq=0)
    endif()
    if(variant MATCHES "slabs$")
      list(APPEND environment ASHLAR_CONF=slob_max:0)
    elseif(variant STREQUAL "slob")
      list(APPEND environment ASHLAR_CONF=slob_max:unlimited)
    endif()
    add_test(NAME ${name}.${variant} COMMAND ${arg_COMMAND})
    set_tests_properties(${name}.${variant} PROPERTIES
      ENVIRONMENT "${environment}"
      LABELS "blackbox;${variant};${arg_LABELS}"
      TIMEOUT ${arg_TIMEOUT} FAIL_REGULAR_EXPRESSION "${not_preloaded}"
      SKIP_RETURN_CODE 77)
  endforeach()
endfunction()

# ---- conform: the letter of C, POSIX and glibc, against us and against the system --------------

set(conform_sources errno_test zero_size_test too_large_test alignment_test content_test
  statistics_test mixed_free_test operator_new_test)
list(TRANSFORM conform_sources PREPEND ${bb}/conform/)
list(TRANSFORM conform_sources APPEND .cpp)
add_library(conform_objects OBJECT ${conform_sources})
blackbox_options(conform_objects)
set_target_properties(conform_objects PROPERTIES POSITION_INDEPENDENT_CODE OFF)
target_compile_options(conform_objects PRIVATE -fPIE)
target_precompile_headers(conform_objects REUSE_FROM blackbox_main)
target_link_libraries(conform_objects PRIVATE GTest::gtest Threads::Threads)

add_executable(conform_tests)
target_link_libraries(conform_tests PRIVATE conform_objects blackbox_main)
set_target_properties(conform_tests PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/blackbox)
set(conform_suites Errno ZeroSize TooLarge Alignment Content Statistics MixedFree OperatorNew)
foreach(suite IN LISTS conform_suites)
  blackbox_test(conform.${suite} VARIANTS glibc preload fallback slabs slob LABELS conform
    COMMAND conform_tests --gtest_filter=${suite}.*)
endforeach()
if(TARGET ashlar_static)
  # Linked into an ordinary program, and into one without any shared library.
  foreach(kind static all_static)
    add_executable(conform_${kind})
    target_link_libraries(conform_${kind} PRIVATE conform_objects blackbox_main ashlar_static)
    set_target_properties(conform_${kind} PROPERTIES
      RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/blackbox)
    blackbox_test(conform.${kind} VARIANTS static LABELS conform COMMAND conform_${kind})
  endforeach()
  target_link_options(conform_all_static PRIVATE -static)
endif()
# Programs with some forms of operator new of their own.
foreach(forms plain array aligned aligned_array others)
  set(name replaced_${forms})
  blackbox_program(${name} ${bb}/conform/${name}.cpp)
  set_source_files_properties(${bb}/conform/${name}.cpp PROPERTIES
    COMPILE_OPTIONS $<$<CXX_COMPILER_ID:GNU>:-Wno-sized-deallocation>)
  blackbox_test(conform.${name} VARIANTS glibc preload slabs slob LABELS conform COMMAND ${name})
  if(TARGET ashlar_static)
    foreach(kind static static_cxx all_static)
      blackbox_program(${name}_${kind} ${bb}/conform/${name}.cpp)
      target_link_libraries(${name}_${kind} PRIVATE ashlar_static)
      blackbox_test(conform.${name}_${kind} VARIANTS static LABELS conform
        COMMAND ${name}_${kind})
    endforeach()
    target_link_options(${name}_static_cxx PRIVATE -static-libstdc++)
    target_link_options(${name}_all_static PRIVATE -static)
  endif()
endforeach()
# A C program that gets a C++ runtime late: one that others could use as well, one of the
# library's own, and such a one whose symbols are in the older table alone (DT_HASH).
add_executable(late_cxx ${bb}/conform/late_cxx.c)
blackbox_options(late_cxx)
set_target_properties(late_cxx PROPERTIES C_STANDARD 11 LINKER_LANGUAGE C
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/blackbox)
target_link_libraries(late_cxx PRIVATE ${CMAKE_DL_LIBS})
foreach(runtime shared static sysv)
  set(plugin late_cxx_plugin_${runtime})
  add_library(${plugin} MODULE ${bb}/conform/late_cxx_plugin.cpp)
  blackbox_options(${plugin})
  if(NOT runtime STREQUAL shared)
    target_link_options(${plugin} PRIVATE -static-libstdc++ -static-libgcc)
  endif()
  if(runtime STREQUAL sysv)
    target_link_options(${plugin} PRIVATE -Wl,--hash-style=sysv)
  endif()
  add_dependencies(late_cxx ${plugin})
  blackbox_test(conform.late_cxx_${runtime} VARIANTS glibc preload fallback slabs slob
    LABELS conform COMMAND late_cxx $<TARGET_FILE:${plugin}> check)
  blackbox_test(conform.late_cxx_exhausted_${runtime} VARIANTS glibc preload slabs slob
    LABELS conform COMMAND sh -c
      "ulimit -v 131072 && exec $<TARGET_FILE:late_cxx> $<TARGET_FILE:${plugin}> exhaust")
endforeach()
# One that has no other operator new than the aligned one.
add_library(late_cxx_plugin_aligned MODULE ${bb}/conform/late_cxx_aligned_plugin.cpp)
blackbox_options(late_cxx_plugin_aligned)
target_link_options(late_cxx_plugin_aligned PRIVATE -static-libstdc++ -static-libgcc)
add_dependencies(late_cxx late_cxx_plugin_aligned)
blackbox_test(conform.late_cxx_aligned VARIANTS glibc preload fallback slabs slob
  LABELS conform COMMAND late_cxx $<TARGET_FILE:late_cxx_plugin_aligned> check)
set(line "ashlar: operator new has no memory, and no C++ runtime to throw")
blackbox_test(conform.late_cxx_none VARIANTS preload slabs slob LABELS conform
  COMMAND sh -c "$<TARGET_FILE:late_cxx> 2>&1 | grep -x '${line}'")
set(archive)
if(TARGET ashlar_static)
  set(archive $<TARGET_FILE:ashlar_static>)
endif()
add_test(NAME conform.exports
  COMMAND ${ASHLAR_PYTHON} ${bb}/conform/exports_test.py ${ASHLAR_UNDER_TEST} ${archive})
set_tests_properties(conform.exports PROPERTIES LABELS "blackbox;preload;conform")

# ---- threads: other threads, forks, signals, start and end of processes ------------------------

foreach(name cross_thread_free many_threads abort_storm exit_paths fork fork_handlers fork_in_signal
    spawn no_rseq_threads promotion startup shared_lines)
  blackbox_tests(${name}_test ${bb}/threads/${name}_test.cpp)
  target_compile_definitions(${name}_test PRIVATE
    BLACKBOX_DIR="${CMAKE_CURRENT_BINARY_DIR}/blackbox")
  blackbox_test(threads.${name} VARIANTS preload fallback LABELS threads TIMEOUT 600
    COMMAND ${name}_test)
endforeach()
blackbox_program(startup_stampede ${bb}/threads/startup_stampede.c)
blackbox_program(many_handlers ${bb}/threads/many_handlers.c)
blackbox_test(threads.many_handlers VARIANTS glibc preload slabs fallback fallback_slabs
  LABELS threads COMMAND many_handlers)
blackbox_program(main_leaves_first ${bb}/threads/main_leaves_first.c)
add_dependencies(exit_paths_test main_leaves_first)
add_library(early_library SHARED ${bb}/threads/early_library.c)
blackbox_program(early_malloc ${bb}/threads/early_malloc.c)
target_link_libraries(early_malloc PRIVATE early_library)
add_dependencies(startup_test startup_stampede early_malloc)
foreach(name cross_thread_free many_threads exit_paths fork promotion startup)
  blackbox_test(threads.${name} VARIANTS slabs fallback_slabs slob LABELS threads TIMEOUT 600
    COMMAND ${name}_test)
endforeach()
# Forks wait for threads that work all the time: beside another such test, on two CPUs, for so long
# that it looks like a hang.
foreach(variant preload fallback)
  set_tests_properties(threads.fork_handlers.${variant} threads.fork_in_signal.${variant}
    PROPERTIES RUN_SERIAL ON)
endforeach()
blackbox_program(reaper_last ${bb}/threads/reaper_last.c)
blackbox_test(threads.reaper_last VARIANTS slabs LABELS threads
  ENV ASHLAR_CONF=reaper:auto,decay_ms:50,slob_max:0 COMMAND reaper_last)
if(TARGET ashlar_static)
  blackbox_program(reaper_static ${bb}/threads/reaper_static.c)
  set_target_properties(reaper_static PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(reaper_static PRIVATE ashlar_static)
  target_link_options(reaper_static PRIVATE -static)
  blackbox_test(threads.reaper_static VARIANTS static LABELS threads
    ENV ASHLAR_CONF=reaper:auto,decay_ms:5 COMMAND reaper_static)
endif()
blackbox_test(threads.fork_ten_thousand VARIANTS preload TIMEOUT 600 LABELS threads slow
  ENV ASHLAR_TEST_FORKS=10000 COMMAND fork_test --gtest_filter=Fork.WhileThreadsAllocate)

# ---- misuse: one program per finding, and bad options ------------------------------------------

file(GLOB misuse_programs CONFIGURE_DEPENDS ${bb}/misuse/*.c)
set(misuse_dir ${CMAKE_CURRENT_BINARY_DIR}/blackbox/misuse)
set(misuse_targets)
foreach(source IN LISTS misuse_programs)
  get_filename_component(name ${source} NAME_WE)
  blackbox_program(misuse_${name} ${source})
  set_target_properties(misuse_${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${misuse_dir} OUTPUT_NAME ${name})
  list(APPEND misuse_targets misuse_${name})
endforeach()
if(TARGET ashlar_static)
  blackbox_program(misuse_option_reader_static ${bb}/misuse/option_reader.c)
  set_target_properties(misuse_option_reader_static PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${misuse_dir} OUTPUT_NAME option_reader_static LINKER_LANGUAGE CXX)
  target_link_libraries(misuse_option_reader_static PRIVATE ashlar_static)
  list(APPEND misuse_targets misuse_option_reader_static)
endif()
foreach(name misuse options)
  blackbox_tests(${name}_test ${bb}/misuse/${name}_test.cpp)
  target_compile_definitions(${name}_test PRIVATE MISUSE_DIR="${misuse_dir}"
    MISUSE_DEBUG_BUILD=$<IF:$<CONFIG:Debug>,true,false>)
  add_dependencies(${name}_test ${misuse_targets})
  blackbox_test(misuse.${name} VARIANTS preload fallback slabs fallback_slabs slob LABELS misuse
    COMMAND ${name}_test)
endforeach()

# ---- fault: the kernel says no -----------------------------------------------------------------

blackbox_program(hungry ${bb}/fault/hungry.c)
foreach(threads 1 2)
  blackbox_test(fault.sweep_${threads} VARIANTS sweep LABELS fault slow TIMEOUT 2400
    COMMAND ${ASHLAR_PYTHON} ${bb}/fault/sweep.py --library ${ASHLAR_UNDER_TEST}
      --threads ${threads} $<TARGET_FILE:hungry>)
endforeach()
blackbox_test(fault.sweep_1 VARIANTS sweep_fallback LABELS fault slow TIMEOUT 2400
  COMMAND ${ASHLAR_PYTHON} ${bb}/fault/sweep.py --library ${ASHLAR_UNDER_TEST} --fallback
    $<TARGET_FILE:hungry>)
blackbox_tests(exhaustion_test ${bb}/fault/exhaustion_test.cpp)
blackbox_test(fault.exhaustion VARIANTS preload fallback slabs slob LABELS fault TIMEOUT 600
  COMMAND exhaustion_test)

blackbox_tests(refused_test ${bb}/fault/refused_test.cpp)
blackbox_test(fault.refused VARIANTS preload fallback slabs slob LABELS fault TIMEOUT 600
  COMMAND refused_test)

# ---- memory: what is freed goes back -----------------------------------------------------------

blackbox_tests(returned_test ${bb}/memory/returned_test.cpp)
blackbox_test(memory.returned VARIANTS preload fallback LABELS memory COMMAND returned_test)
# What is kept depends on what is wanted again within a second: beside another test that is more.
set_tests_properties(memory.returned.preload memory.returned.fallback PROPERTIES RUN_SERIAL ON)
blackbox_tests(shifting_sizes_test ${bb}/memory/shifting_sizes_test.cpp)
blackbox_test(memory.shifting_sizes VARIANTS preload fallback slabs LABELS memory
  COMMAND shifting_sizes_test)
blackbox_tests(locked_test ${bb}/memory/locked_test.cpp)
blackbox_test(memory.locked VARIANTS preload slob LABELS memory COMMAND locked_test)
blackbox_tests(mappings_test ${bb}/memory/mappings_test.cpp)
blackbox_test(memory.mappings VARIANTS preload LABELS memory COMMAND mappings_test)
blackbox_test(memory.mappings VARIANTS slob LABELS memory slow COMMAND mappings_test)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT ASHLAR_SANITIZE AND NOT ASHLAR_ASSERTS)
  blackbox_program(start_pages ${bb}/memory/start_pages.c)
  blackbox_test(memory.start_pages VARIANTS preload LABELS memory
    COMMAND start_pages ${ASHLAR_UNDER_TEST})
endif()

blackbox_tests(forked_test ${bb}/memory/forked_test.cpp)
blackbox_test(memory.forked VARIANTS preload LABELS memory COMMAND forked_test)

blackbox_tests(growth_test ${bb}/memory/growth_test.cpp)
blackbox_test(memory.growth VARIANTS preload fallback slob LABELS memory COMMAND growth_test)
blackbox_tests(huge_pages_test ${bb}/memory/huge_pages_test.cpp)
blackbox_test(memory.huge_pages VARIANTS preload fallback slob LABELS memory
  COMMAND huge_pages_test)
blackbox_program(crashing ${bb}/memory/crashing.c)
blackbox_tests(manners_test ${bb}/memory/manners_test.cpp)
target_compile_definitions(manners_test PRIVATE BLACKBOX_DIR="${CMAKE_CURRENT_BINARY_DIR}/blackbox")
add_dependencies(manners_test crashing)
blackbox_test(memory.manners VARIANTS preload fallback slabs LABELS memory COMMAND manners_test)

# ---- limits: ulimit, mlockall, dlopen ----------------------------------------------------------

blackbox_tests(limits_test ${bb}/limits/limits_test.cpp)
blackbox_program(locked ${bb}/limits/locked.c)
target_compile_definitions(limits_test PRIVATE BLACKBOX_DIR="${CMAKE_CURRENT_BINARY_DIR}/blackbox")
add_dependencies(limits_test locked)
blackbox_test(limits.limits VARIANTS glibc preload fallback slabs slob LABELS limits
  COMMAND limits_test)

blackbox_tests(stack_test ${bb}/limits/stack_test.cpp)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT ASHLAR_SANITIZE AND NOT ASHLAR_ASSERTS)
  target_compile_definitions(stack_test PRIVATE STACK_IS_BOUNDED=true)
else()
  target_compile_definitions(stack_test PRIVATE STACK_IS_BOUNDED=false)
endif()
blackbox_test(limits.stack VARIANTS glibc preload fallback slabs fallback_slabs slob LABELS limits
  COMMAND stack_test)

blackbox_tests(bounds_test ${bb}/limits/bounds_test.cpp)
target_include_directories(bounds_test PRIVATE ${PROJECT_SOURCE_DIR}/include)
blackbox_test(limits.bounds VARIANTS preload fallback slabs slob LABELS limits TIMEOUT 300
  COMMAND bounds_test)

blackbox_tests(zones_test ${bb}/limits/zones_test.cpp)
target_include_directories(zones_test PRIVATE ${PROJECT_SOURCE_DIR}/include)
blackbox_test(limits.zones VARIANTS preload slabs slob LABELS limits COMMAND zones_test)

blackbox_tests(hugetlb_test ${bb}/limits/hugetlb_test.cpp)
target_include_directories(hugetlb_test PRIVATE ${PROJECT_SOURCE_DIR}/include)
blackbox_test(limits.hugetlb VARIANTS preload fallback slabs slob LABELS limits
  COMMAND hugetlb_test)

blackbox_tests(nodes_test ${bb}/limits/nodes_test.cpp)
target_include_directories(nodes_test PRIVATE ${PROJECT_SOURCE_DIR}/include)
blackbox_test(limits.nodes VARIANTS preload fallback LABELS limits
  ENV "ASHLAR_CONF=nodes:2,slob_max:0" COMMAND nodes_test)

# The conformance and thread suites again, under 1 and 4 GiB of address space.
foreach(gib 1 4)
  math(EXPR kib "${gib} * 1024 * 1024")
  foreach(suite IN LISTS conform_suites)
    blackbox_test(limits.ulimit_${gib}g.${suite} VARIANTS preload LABELS limits
      COMMAND sh -c
        "ulimit -v ${kib} && exec $<TARGET_FILE:conform_tests> --gtest_filter=${suite}.*")
  endforeach()
  foreach(name cross_thread_free exit_paths fork_handlers spawn)
    blackbox_test(limits.ulimit_${gib}g.${name} VARIANTS preload LABELS limits
      COMMAND sh -c "ulimit -v ${kib} && exec $<TARGET_FILE:${name}_test>")
  endforeach()
  set_tests_properties(limits.ulimit_${gib}g.fork_handlers.preload PROPERTIES RUN_SERIAL ON)
endforeach()

# The small library, where a process may have 16 MiB of address space for all that it maps.
if(ASHLAR_SLOB_ONLY)
  foreach(program "ls -R /usr/lib" "seq 20000 | sort -n"
      "bash -c 'for i in $(seq 500); do x=$x$i; done'")
    string(MD5 key "${program}")
    string(SUBSTRING ${key} 0 4 key)
    add_test(NAME limits.slob_only_${key} COMMAND sh -c
      "ulimit -v 16384 && export LD_PRELOAD=${ASHLAR_UNDER_TEST} && ${program} > /dev/null")
    set_tests_properties(limits.slob_only_${key} PROPERTIES LABELS "blackbox;limits" TIMEOUT 60
      FAIL_REGULAR_EXPRESSION "${not_preloaded}")
  endforeach()
  # A bound on what the heap holds ends a program that wants more, and no other.
  foreach(kib 4096 16384)
    add_test(NAME limits.slob_only_bound_${kib} COMMAND bash -c "printf -v text %8000000s")
    set_tests_properties(limits.slob_only_bound_${kib} PROPERTIES LABELS "blackbox;limits"
      FAIL_REGULAR_EXPRESSION "${not_preloaded}"
      ENVIRONMENT "LD_PRELOAD=${ASHLAR_UNDER_TEST};ASHLAR_CONF=limit_kib:${kib}")
  endforeach()
  set_tests_properties(limits.slob_only_bound_4096 PROPERTIES
    PASS_REGULAR_EXPRESSION "cannot allocate")
  # README's sizes are of this compiler's code.
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13
      AND CMAKE_BUILD_TYPE STREQUAL Release AND CMAKE_SYSTEM_PROCESSOR STREQUAL x86_64)
    add_test(NAME limits.slob_only_size
      COMMAND ${ASHLAR_PYTHON} ${bb}/limits/slob_only_size.py ${ASHLAR_UNDER_TEST}
        $<TARGET_FILE:ashlar_static> ${CMAKE_C_COMPILER} ${PROJECT_SOURCE_DIR}/README.md)
    set_tests_properties(limits.slob_only_size PROPERTIES LABELS "blackbox;limits")
  endif()
endif()

# Static TLS surplus: a few libraries that take much, then ever smaller ones until nothing is left.
blackbox_program(late_load ${bb}/limits/late_load.cpp)
set(hogs)
foreach(bytes 1024 256 64)
  foreach(copy RANGE 1 6)
    add_library(tls_hog_${bytes}_${copy} MODULE ${bb}/limits/tls_hog.c)
    target_compile_definitions(tls_hog_${bytes}_${copy} PRIVATE TLS_BYTES=${bytes})
    list(APPEND hogs tls_hog_${bytes}_${copy})
  endforeach()
endforeach()
add_dependencies(late_load ${hogs})
list(TRANSFORM hogs REPLACE "(.+)" "$<TARGET_FILE:\\1>")
blackbox_test(limits.late_load VARIANTS dlopen LABELS limits
  COMMAND late_load ${ASHLAR_UNDER_TEST})
blackbox_test(limits.late_load_without_rseq VARIANTS dlopen LABELS limits
  ENV GLIBC_TUNABLES=glibc.pthread.rseq=0 COMMAND late_load ${ASHLAR_UNDER_TEST})
blackbox_test(limits.late_load_full_tls VARIANTS dlopen LABELS limits
  COMMAND late_load ${ASHLAR_UNDER_TEST} ${hogs})

include(${bb}/linked.cmake)

# ---- preload: real programs; `quick` is what CI runs -------------------------------------------

set(quick_programs python3 python3_malloc lua perl node java bash gxx gcc rustc make_j2 git
  coreutils sqlite3 valgrind redis memcached nginx)
set(other_programs archives ghostscript ffmpeg postgres)
foreach(name IN LISTS quick_programs other_programs)
  set(labels preload_programs)
  if(name IN_LIST quick_programs)
    list(APPEND labels quick)
  else()
    list(APPEND labels slow)
  endif()
  add_test(NAME preload.${name} COMMAND ${ASHLAR_PYTHON} ${bb}/preload/programs.py
    --library ${ASHLAR_UNDER_TEST} ${name})
  set_tests_properties(preload.${name} PROPERTIES LABELS "blackbox;${labels}" TIMEOUT 600
    SKIP_RETURN_CODE 77)
endforeach()
foreach(name python3 perl node redis git)
  add_test(NAME preload.${name}.fallback COMMAND ${ASHLAR_PYTHON} ${bb}/preload/programs.py
    --library ${ASHLAR_UNDER_TEST} --fallback ${name})
  set_tests_properties(preload.${name}.fallback PROPERTIES LABELS
    "blackbox;preload_programs;fallback" TIMEOUT 600 SKIP_RETURN_CODE 77)
endforeach()

# ---- bench: what compares tells the truth ------------------------------------------------------

if(ASHLAR_BUILD_BENCH)
  execute_process(COMMAND ${ASHLAR_PYTHON} -c "import jinja2, jsonschema, matplotlib, rich, scipy"
    RESULT_VARIABLE lacks_modules ERROR_QUIET)
  if(lacks_modules)
    message(STATUS "The tests of bench/ are left out: modules are missing (tests/run)")
  else()
    foreach(subject figures liars program workloads trace report record real real_server small
            stepping)
      add_test(NAME bench.${subject}
        COMMAND ${ASHLAR_PYTHON} -B -m unittest test_${subject}
        WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/bench)
      set_tests_properties(bench.${subject} PROPERTIES
        LABELS bench TIMEOUT 900 ENVIRONMENT ASHLAR_BUILD=${PROJECT_BINARY_DIR})
    endforeach()
    # What takes longest begins first, so that no CPU waits for it in the end.
    set_tests_properties(bench.real bench.trace bench.record PROPERTIES COST 50)
    # A minute or two: every workload several times. Each comparison checks their answers, too.
    set_tests_properties(bench.workloads PROPERTIES LABELS "bench;slow")
  endif()
endif()
