// preload/weak_cxx.h -- included in front of cxx_runtime.cpp for the shared library: makes its
// references to the C++ runtime weak.
#pragma once

asm(".weak __gxx_personality_v0\n"
    ".weak __cxa_begin_catch\n"
    ".weak __cxa_end_catch\n"
    ".weak _ZSt15get_new_handlerv\n"
    ".weak _ZSt17__throw_bad_allocv\n");
