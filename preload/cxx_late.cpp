// preload/cxx_late.cpp -- the C++ runtime as libashlar.so has it: looked for when it is needed.
//
// Idea
//   A C++ program has its runtime when libashlar.so is relocated, and weak references find it. But
//   a C program may open a library that is written in C++, which brings the runtime along, where
//   no reference of another library sees it. That one is looked up when an allocation has failed:
//   in the library that has called operator new, in what that needs, and then wherever it is.
//
//   To catch, the compiler has code refer to the runtime's personality routine, by which the
//   unwinder finds the handler, and to two functions that begin and end it. Those are hidden
//   functions of ours, which hand on to the runtime that the exception was thrown by: its header
//   names a function of that. So they need no reference at all, and are as good for a runtime that
//   has been there from the start.
//
//   Where no runtime is found, there is no new_handler, and nobody who could throw.
//
// Locking
//   A lookup takes a lock of the dynamic linker, which unwinding takes as well. No lock of Ashlar's
//   is held then.
#include <unwind.h>

#include <cstdint>
#include <cstdlib>

#include "base/attributes.h"
#include "base/check.h"
#include "base/config.h"
#include "preload/cxx_runtime.h"
#include "preload/loaded.h"

namespace std {
[[noreturn]] void __throw_bad_alloc();  // libstdc++'s and libc++'s way to throw without a type
}

asm(".weak _ZSt15get_new_handlerv\n"
    ".weak _ZSt17__throw_bad_allocv\n");

namespace ashlar::cxx {
namespace {

// Through a volatile pointer, since the compiler holds that no function's address is null.
template <class F>
F* if_present(F* function) {
  F* volatile present = function;
  return present;
}

// Of the runtime that code at `user` runs with.
template <class F>
F* find(const void* user, const char* name) {
  void* found = loaded::find_for(user, name);
  return reinterpret_cast<F*>(found != nullptr ? found : loaded::find_any(name));
}

// A function of the runtime that an exception was thrown by.
const void* thrower_of(const _Unwind_Exception* exception) {
  return reinterpret_cast<const void*>(exception->exception_cleanup);
}

// A library that has the runtime linked into it has what it uses of it, and no more. It uses
// operator new, or the aligned one alone; its own lies behind Ashlar's, takes memory from malloc,
// and throws where that has none.
void throw_by_hidden_new(const void* caller) {
  constexpr size_t kRefused = PTRDIFF_MAX / 2;
  constexpr auto kAlign = std::align_val_t{base::kGrain};
  auto* hidden = reinterpret_cast<New*>(loaded::find_in(caller, "_Znwm"));
  if (hidden != nullptr) hidden(kRefused);
  auto* aligned = reinterpret_cast<AlignedNew*>(loaded::find_in(caller, "_ZnwmSt11align_val_t"));
  if (aligned != nullptr) aligned(kRefused, kAlign);
}

// operator new without a C++ runtime: nobody could catch.
[[noreturn]] void end_without_runtime() {
  constexpr char kLine[] = "ashlar: operator new has no memory, and no C++ runtime to throw\n";
  base::write_error(kLine, sizeof kLine - 1);
  abort();
}

}  // namespace

std::new_handler new_handler(const void* caller) {
  using Handler = decltype(std::get_new_handler);
  auto* handler = if_present(&std::get_new_handler);
  if (handler == nullptr) handler = find<Handler>(caller, "_ZSt15get_new_handlerv");
  return handler == nullptr ? nullptr : handler();
}

void throw_bad_alloc(const void* caller) {
  using Thrower = decltype(std::__throw_bad_alloc);
  constexpr const char* kName = "_ZSt17__throw_bad_allocv";
  auto* thrower = if_present(&std::__throw_bad_alloc);
  if (thrower == nullptr) thrower = reinterpret_cast<Thrower*>(loaded::find_for(caller, kName));
  if (thrower == nullptr) throw_by_hidden_new(caller);
  if (thrower == nullptr) thrower = reinterpret_cast<Thrower*>(loaded::find_any(kName));
  if (thrower != nullptr) thrower();
  end_without_runtime();
}

}  // namespace ashlar::cxx

extern "C" {

ASHLAR_HIDDEN _Unwind_Reason_Code __gxx_personality_v0(int version, _Unwind_Action actions,
                                                       _Unwind_Exception_Class kind,
                                                       _Unwind_Exception* exception,
                                                       _Unwind_Context* context) {
  const void* thrower = ashlar::cxx::thrower_of(exception);
  auto* theirs = ashlar::cxx::find<decltype(__gxx_personality_v0)>(thrower, "__gxx_personality_v0");
  if (theirs == nullptr) return _URC_CONTINUE_UNWIND;
  return theirs(version, actions, kind, exception, context);
}

// Ends the handler, too: what ends it is not told of which exception, and none here looks at it.
ASHLAR_HIDDEN void* __cxa_begin_catch(void* header) noexcept {
  const void* thrower = ashlar::cxx::thrower_of(static_cast<_Unwind_Exception*>(header));
  auto* begin = ashlar::cxx::find<void*(void*)>(thrower, "__cxa_begin_catch");
  auto* end = ashlar::cxx::find<void()>(thrower, "__cxa_end_catch");
  if (begin == nullptr || end == nullptr) __builtin_trap();  // though it had a personality routine
  begin(header);
  end();
  return nullptr;
}

ASHLAR_HIDDEN void __cxa_end_catch() {}

}  // extern "C"
