// os/rseq_aarch64.h -- push, pops and exchange as restartable sections for aarch64.
//
// Idea
//   As for x86-64 (labels: 1 arms, 2 starts, 4 is behind the commit, 5 aborts, 3 describes). The
//   thread pointer is read into a register first; the signature in front of the abort handler is
//   the instruction `brk #0x45e0`.
#pragma once

#define ASHLAR_RSEQ_PROLOGUE                                                         \
  ".pushsection .data.rel.ro.ashlar_rseq, \"aw\"\n"                                  \
  ".balign 32\n"                                                                     \
  "3: .long 0, 0\n"                                                                  \
  "   .quad 2f, 4f - 2f, 5f\n"                                                       \
  ".popsection\n"                                                                    \
  ".pushsection .text.ashlar_rseq_abort, \"ax\"\n"                                   \
  "   .inst 0xd428bc00\n"                                                            \
  "5: b 1f\n"                                                                        \
  ".popsection\n"                                                                    \
  "1: adrp %[area], 3b\n" /* area = descriptor            */                         \
  "   add %[area], %[area], :lo12:3b\n"                                              \
  "   str %[area], [%[rseq], #8]\n"               /* rseq->rseq_cs = area: armed  */ \
  "2: ldr %w[area], [%[rseq], #4]\n"              /* if (rseq->cpu_id < 0)        */ \
  "   tbnz %w[area], #31, %l[slow]\n"             /*   nobody would restart us    */ \
  "   ldr %w[area], [%[id]]\n"                    /* area = rseq->mm_cid          */ \
  "   ldr %[area], [%[table], %[area], lsl #3]\n" /* area = table[area] */

namespace ashlar::os {

inline char* thread_pointer() {
  return static_cast<char*>(__builtin_thread_pointer());
}

ASHLAR_INLINE void* rseq_pop(size_t cache) {
  void* object;
  uint64_t area, below;
  asm volatile goto(
      ASHLAR_RSEQ_PROLOGUE
      "   ldr %[object], [%[area], %[cache], lsl #3]\n"  // object = area->words[cache]
      "   lsr %[object], %[object], #16\n"               // object >>= 16: the address
      "   cbz %[object], %l[slow]\n"                     // if (object == 0) it is empty
      "   ldr %[below], [%[object]]\n"                   // below = object->link
      "   str %[below], [%[area], %[cache], lsl #3]\n"   // commit
      "4:\n"
      : [object] "=&r"(object), [area] "=&r"(area), [below] "=&r"(below)
      : [cache] "r"(cache), [rseq] "r"(thread_pointer() + g_fast_line.rseq_offset),
        [id] "r"(thread_pointer() + g_fast_line.id_offset), [table] "r"(g_fast.areas)
      : "memory", "cc"
      : slow);
  if (object == nullptr) __builtin_unreachable();  // tested in the section
  return object;
slow:
  return nullptr;
}

ASHLAR_INLINE size_t rseq_pop_some(size_t cache, void** objects, size_t most) {
  size_t count = 0;
  while (count < most && (objects[count] = rseq_pop(cache)) != nullptr) ++count;
  return count;
}

ASHLAR_INLINE bool rseq_push(size_t cache, void* object) {
  uint64_t area, word, top;
  asm volatile goto(ASHLAR_RSEQ_PROLOGUE
                    "   ldr %[word], [%[area], %[cache], lsl #3]\n"  // word = area->words[cache]
                    "   tbnz %[word], #15, %l[slow]\n"               // if (height < 0) it is full
                    "   ldr %[top], [%[object], #8]\n"               // if (object->key == key)
                    "   cmp %[top], %[page]\n"
                    "   b.eq %l[slow]\n"                      //   it may be free already
                    "   stp %[word], %[page], [%[object]]\n"  // object->link = word, ->key = key
                    "   add %[word], %[word], #1\n"
                    "   lsl %[top], %[object], #16\n"  // top = object << 16 | height + 1
                    "   bfxil %[top], %[word], #0, #16\n"
                    "   str %[top], [%[area], %[cache], lsl #3]\n"  // commit
                    "4:\n"
                    : [area] "=&r"(area), [word] "=&r"(word), [top] "=&r"(top)
                    : [cache] "r"(cache), [object] "r"(object),
                      [rseq] "r"(thread_pointer() + g_fast_line.rseq_offset),
                      [id] "r"(thread_pointer() + g_fast_line.id_offset), [page] "r"(&g_fast),
                      [table] "r"(g_fast.areas)
                    : "memory", "cc"
                    : slow);
  return true;
slow:
  return false;
}

ASHLAR_INLINE bool rseq_exchange(CpuArea* expected_area, size_t index, uint64_t expected,
                                 uint64_t desired) {
  uint64_t area, word;
  asm volatile goto(
      ASHLAR_RSEQ_PROLOGUE
      "   cmp %[area], %[mine]\n"                      // if (area != mine)
      "   b.ne %l[slow]\n"                             //   we were moved, or drained
      "   ldr %[word], [%[area], %[index], lsl #3]\n"  // if (area->words[index] != expected)
      "   cmp %[word], %[expected]\n"
      "   b.ne %l[slow]\n"                                //   somebody was here
      "   str %[desired], [%[area], %[index], lsl #3]\n"  // commit
      "4:\n"
      : [area] "=&r"(area), [word] "=&r"(word)
      : [mine] "r"(expected_area), [index] "r"(index), [expected] "r"(expected),
        [desired] "r"(desired), [rseq] "r"(thread_pointer() + g_fast_line.rseq_offset),
        [id] "r"(thread_pointer() + g_fast_line.id_offset), [table] "r"(g_fast.areas)
      : "memory", "cc"
      : slow);
  return true;
slow:
  return false;
}

}  // namespace ashlar::os
