// conform/late_cxx_plugin.cpp -- the library that late_cxx.c opens: memory ends in each form of
// new.

#include <cstddef>
#include <cstdint>
#include <new>

namespace {

volatile size_t impossible = size_t{PTRDIFF_MAX} - 4096;  // the compiler must not judge it
constexpr std::align_val_t kAlign{64};
int handler_calls = 0;

struct OwnFailure {};

void give_up_at_third() {
  if (++handler_calls == 3) std::set_new_handler(nullptr);
}
void throw_own() {
  throw OwnFailure();
}

template <class Make>
bool throws_bad_alloc(Make make) {
  try {
    make();
  } catch (const std::bad_alloc&) {
    return true;
  }
  return false;
}

template <class Make>
bool throws_what_the_handler_throws(Make make) {
  try {
    make();
  } catch (const OwnFailure&) {
    return true;
  }
  return false;
}

template <class Make>
const char* check_throwing(Make make) {
  std::set_new_handler(nullptr);
  if (!throws_bad_alloc(make)) return "no bad_alloc";
  handler_calls = 0;
  std::set_new_handler(give_up_at_third);
  if (!throws_bad_alloc(make)) return "no bad_alloc after the handler";
  if (handler_calls != 3) return "the handler was not called three times";
  std::set_new_handler(throw_own);
  if (!throws_what_the_handler_throws(make)) return "the handler's exception is lost";
  return nullptr;
}

template <class Make>
const char* check_quiet(Make make) {
  std::set_new_handler(nullptr);
  if (make() != nullptr) return "a block of an impossible size";
  handler_calls = 0;
  std::set_new_handler(give_up_at_third);
  if (make() != nullptr) return "a block of an impossible size after the handler";
  if (handler_calls != 3) return "nothrow: the handler was not called three times";
  std::set_new_handler(throw_own);
  if (make() != nullptr) return "a block where the handler throws";
  return nullptr;
}

}  // namespace

extern "C" [[gnu::visibility("default")]] const char* check() {
  delete[] new char[100];
  const char* faults[] = {
      check_throwing([] { return ::operator new(impossible); }),
      check_throwing([] { return ::operator new[](impossible); }),
      check_throwing([] { return ::operator new(impossible, kAlign); }),
      check_throwing([] { return ::operator new[](impossible, kAlign); }),
      check_quiet([] { return ::operator new(impossible, std::nothrow); }),
      check_quiet([] { return ::operator new[](impossible, std::nothrow); }),
      check_quiet([] { return ::operator new(impossible, kAlign, std::nothrow); }),
      check_quiet([] { return ::operator new[](impossible, kAlign, std::nothrow); })};
  std::set_new_handler(nullptr);
  for (const char* fault : faults)
    if (fault != nullptr) return fault;
  return nullptr;
}

extern "C" [[gnu::visibility("default")]] const char* exhaust() {
  std::set_new_handler(nullptr);
  void** last = nullptr;
  for (size_t size = 1 << 20; size >= 16; size /= 4) {
    const auto fill = [&] {
      for (;;) {
        void** block = static_cast<void**>(::operator new(size));
        *block = last;
        last = block;
      }
    };
    if (!throws_bad_alloc(fill)) return "no bad_alloc where all is taken";
  }
  std::set_new_handler(throw_own);
  void* block = ::operator new(1 << 20, std::nothrow);
  std::set_new_handler(nullptr);
  while (last != nullptr) {
    void** next = static_cast<void**>(*last);
    ::operator delete(last);
    last = next;
  }
  return block == nullptr ? nullptr : "a block where all is taken";
}
