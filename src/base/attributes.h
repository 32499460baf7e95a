// base/attributes.h -- the compiler attributes and lock annotations of the house.
//
// Idea
//   Whatever a compiler offers beyond the standard is spelled here once. Elsewhere stands only the
//   word, so that a reader meets a meaning and not a vendor. The lock annotations are clang's: with
//   them an unguarded read of a guarded member does not compile. Other compilers see nothing.
#pragma once

#define ASHLAR_INLINE [[gnu::always_inline]] inline
/// A variable that only this library sees, so that it is reached without the offset table. (The
/// compiler's -fvisibility=hidden does not reach `extern` declarations.)
#define ASHLAR_HIDDEN [[gnu::visibility("hidden")]]
/// A function that programs may call: in the shared library all others are hidden.
#define ASHLAR_EXPORT [[gnu::visibility("default")]]
/// What another definition may take the place of, or what may be missing: then its address is null.
#define ASHLAR_WEAK [[gnu::weak]]
/// Kept though nothing refers to it.
#define ASHLAR_USED [[gnu::used]]
#define ASHLAR_COLD [[gnu::cold, gnu::noinline]]
#define ASHLAR_NOINLINE [[gnu::noinline]]
/// Puts a variable that every process reads or writes behind the heap's record, into its page.
#define ASHLAR_START_DATA [[gnu::section(".data1")]]
/// Puts a variable that is zero at first, and that a process with object caches writes to, together
/// with others, so that a small one has few pages of them.
#define ASHLAR_CACHE_DATA [[gnu::section(".bss.caches")]]
/// A thread-local that is reached without a call and without memory of its own being allocated.
#define ASHLAR_THREAD_LOCAL __attribute__((tls_model("initial-exec"))) __thread

#if defined(__clang__)
#define ASHLAR_ANNOTATE(x) __attribute__((x))
#else
#define ASHLAR_ANNOTATE(x)
#endif

#define ASHLAR_CAPABILITY ASHLAR_ANNOTATE(capability("mutex"))
#define ASHLAR_SCOPED_CAPABILITY ASHLAR_ANNOTATE(scoped_lockable)
#define ASHLAR_GUARDED_BY(lock) ASHLAR_ANNOTATE(guarded_by(lock))
#define ASHLAR_REQUIRES(lock) ASHLAR_ANNOTATE(requires_capability(lock))
#define ASHLAR_EXCLUDES(lock) ASHLAR_ANNOTATE(locks_excluded(lock))
#define ASHLAR_ACQUIRES(...) ASHLAR_ANNOTATE(acquire_capability(__VA_ARGS__))
#define ASHLAR_RELEASES(...) ASHLAR_ANNOTATE(release_capability(__VA_ARGS__))
#define ASHLAR_UNCHECKED ASHLAR_ANNOTATE(no_thread_safety_analysis)
