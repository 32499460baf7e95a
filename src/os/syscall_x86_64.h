// os/syscall_x86_64.h -- the `syscall` instruction: number in rax, arguments in rdi, rsi, rdx, r10,
// r8, r9, answer in rax; rcx and r11 are lost. (x86-64 psABI, A.2.1)
#pragma once

namespace ashlar::os {

inline long raw_call(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  long answer;
  asm volatile("syscall"
               : "=a"(answer)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return answer;
}

}  // namespace ashlar::os
