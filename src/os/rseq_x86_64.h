// os/rseq_x86_64.h -- push, pops and exchange as restartable sections for x86-64.
//
// Idea
//   Each section is written instruction by instruction, because its last one must be the commit.
//   Labels: 1 arms (and is where an aborted section begins again), 2 starts, 4 is behind the
//   commit, 5 is the abort handler, 3 the descriptor that tells the kernel of 2, 4 and 5; 6 to 9
//   are a section's own. What one writes before the commit only its caller reads, afterwards. The
//   four bytes in front of the abort handler are the signature that libc registered with; they are
//   the operand of an undefined instruction, so that nothing ever runs into them.
//
//   Where many objects are popped, each link would have to be loaded before the next one can be,
//   and that is most of the time. So the next address is guessed, by the distance of the last two,
//   and the link is only compared with it: where objects follow each other at one distance the
//   processor need not wait.
//
// Source
//   The guess: M. H. Lipasti, C. B. Wilkerson, J. P. Shen, Value locality and load value
//   prediction, ASPLOS 1996. There it is the processor's.
#pragma once

#define ASHLAR_RSEQ_PROLOGUE                                                            \
  ".pushsection .data.rel.ro.ashlar_rseq, \"aw\"\n"                                     \
  ".balign 32\n"                                                                        \
  "3: .long 0, 0\n"                                                                     \
  "   .quad 2f, 4f - 2f, 5f\n"                                                          \
  ".popsection\n"                                                                       \
  ".pushsection .text.ashlar_rseq_abort, \"ax\"\n"                                      \
  "   .byte 0x0f, 0xb9, 0x3d\n" /* ud1 0x53053053(%rip) */                              \
  "   .long 0x53053053\n"                                                               \
  "5: jmp 1f\n"                                                                         \
  ".popsection\n"                                                                       \
  "1: lea 3b(%%rip), %[area]\n"                      /* area = descriptor            */ \
  "   mov %[area], %%fs:8(%[rseq])\n"                /* rseq->rseq_cs = area: armed  */ \
  "2: cmpl $0, %%fs:4(%[rseq])\n"                    /* if (rseq->cpu_id < 0)        */ \
  "   js %l[slow]\n"                                 /*   nobody would restart us    */ \
  "   mov %%fs:(%[id]), %k[area]\n"                  /* area = rseq->mm_cid          */ \
  "   mov %c[areas](%[page], %[area], 8), %[area]\n" /* area = page->areas[area] */

namespace ashlar::os {

ASHLAR_INLINE void* rseq_pop(size_t cache) {
  void* object;
  uint64_t area, below;
  asm volatile goto(
      ASHLAR_RSEQ_PROLOGUE
      "   mov (%[area], %[cache], 8), %[object]\n"  // object = area->words[cache]
      "   shr $16, %[object]\n"                     // object >>= 16: the address
      "   jz %l[slow]\n"                            // if (object == 0) it is empty
      "   mov (%[object]), %[below]\n"              // below = object->link
      "   mov %[below], (%[area], %[cache], 8)\n"   // commit
      "4:\n"
      : [object] "=&a"(object), [area] "=&r"(area), [below] "=&r"(below)
      : [cache] "r"(cache), [rseq] "r"(g_fast_line.rseq_offset), [id] "r"(g_fast_line.id_offset),
        [page] "r"(&g_fast), [areas] "i"(offsetof(FastPage, areas))
      : "memory", "cc"
      : slow);
  if (object == nullptr) __builtin_unreachable();  // tested in the section
  return object;
slow:
  return nullptr;
}

ASHLAR_INLINE size_t rseq_pop_some(size_t cache, void** objects, size_t most) {
  uint64_t area, word, object, count, guess, step;
  asm volatile goto(ASHLAR_RSEQ_PROLOGUE
                    "   mov (%[area], %[cache], 8), %[word]\n"  // word = area->words[cache]
                    "   xor %k[count], %k[count]\n"             // count = 0
                    "   xor %k[step], %k[step]\n"               // guess = step = 0
                    "   xor %k[guess], %k[guess]\n"
                    "6: mov %[word], %[object]\n"
                    "   shr $16, %[object]\n"  // object = word >> 16: the address
                    "   jz 7f\n"               // if (object == 0) that was the last
                    "   cmp %[object], %[guess]\n"
                    "   jne 9f\n"
                    "8: mov %[guess], (%[objects], %[count], 8)\n"  // objects[count] = guess
                    "   mov (%[guess]), %[word]\n"                  // word = guess->link
                    "   add %[step], %[guess]\n"  // the next one is as far from it
                    "   inc %[count]\n"
                    "   cmp %[most], %[count]\n"
                    "   jb 6b\n"
                    "   jmp 7f\n"
                    "9: sub %[guess], %[step]\n"  // step = object - (guess - step)
                    "   add %[object], %[step]\n"
                    "   mov %[object], %[guess]\n"  // guess = object
                    "   jmp 8b\n"
                    "7: test %[count], %[count]\n"  // if (count == 0) it is empty, or closed
                    "   jz %l[slow]\n"
                    "   mov %[word], (%[area], %[cache], 8)\n"  // commit
                    "4:\n"
                    : [area] "=&r"(area), [word] "=&r"(word), [object] "=&r"(object),
                      [count] "=&r"(count), [guess] "=&r"(guess), [step] "=&r"(step)
                    : [cache] "r"(cache), [objects] "r"(objects), [most] "r"(most),
                      [rseq] "r"(g_fast_line.rseq_offset), [id] "r"(g_fast_line.id_offset),
                      [page] "r"(&g_fast), [areas] "i"(offsetof(FastPage, areas))
                    : "memory", "cc"
                    : slow);
  return count;
slow:
  return 0;
}

ASHLAR_INLINE bool rseq_push(size_t cache, void* object) {
  uint64_t area, word, top;
  asm volatile goto(
      ASHLAR_RSEQ_PROLOGUE
      "   mov (%[area], %[cache], 8), %[word]\n"  // word = area->words[cache]
      "   test %w[word], %w[word]\n"              // if (height < 0)
      "   js %l[slow]\n"                          //   it is full
      "   cmp %[page], 8(%[object])\n"            // if (object->key == key)
      "   je %l[slow]\n"                          //   it may be free already
      "   mov %[word], (%[object])\n"             // object->link = word
      "   mov %[page], 8(%[object])\n"            // object->key = key
      "   imul $0x10000, %[object], %[top]\n"     // top = object << 16 | height + 1
      "   inc %k[word]\n"
      "   mov %w[word], %w[top]\n"
      "   mov %[top], (%[area], %[cache], 8)\n"  // commit
      "4:\n"
      : [area] "=&r"(area), [word] "=&r"(word), [top] "=&r"(top)
      : [cache] "r"(cache), [object] "r"(object), [rseq] "r"(g_fast_line.rseq_offset),
        [id] "r"(g_fast_line.id_offset), [page] "r"(&g_fast), [areas] "i"(offsetof(FastPage, areas))
      : "memory", "cc"
      : slow);
  return true;
slow:
  return false;
}

ASHLAR_INLINE bool rseq_exchange(CpuArea* expected_area, size_t index, uint64_t expected,
                                 uint64_t desired) {
  uint64_t area;
  asm volatile goto(
      ASHLAR_RSEQ_PROLOGUE
      "   cmp %[area], %[mine]\n"                     // if (area != mine)
      "   jne %l[slow]\n"                             //   we were moved, or the CPU is drained
      "   cmp %[expected], (%[area], %[index], 8)\n"  // if (area->words[index] != expected)
      "   jne %l[slow]\n"                             //   somebody was here
      "   mov %[desired], (%[area], %[index], 8)\n"   // commit
      "4:\n"
      : [area] "=&r"(area)
      : [mine] "r"(expected_area), [index] "r"(index), [expected] "r"(expected),
        [desired] "r"(desired), [rseq] "r"(g_fast_line.rseq_offset),
        [id] "r"(g_fast_line.id_offset), [page] "r"(&g_fast), [areas] "i"(offsetof(FastPage, areas))
      : "memory", "cc"
      : slow);
  return true;
slow:
  return false;
}

}  // namespace ashlar::os
