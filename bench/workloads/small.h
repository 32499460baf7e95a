// bench/workloads/small.h -- what the small workloads share: blocks, and the memory of a process.
//
// In C, since a C++ runtime allocates more than a small program does. Until a process has been
// measured nothing is asked of stdio: it would allocate a buffer for each file.

#pragma once

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

// The statuses are those of workload.h: 1 for a damaged block, 3 for whatever else ends a program.
static inline void end(const char* why, int status) {
  fprintf(stderr, "workload: %s\n", why);
  exit(status);
}
static inline void wrong(const char* what) {
  end(what, 1);
}
static inline void fail(const char* what) {
  end(what, 3);
}

// Blocks are chained through themselves: an array of them would be memory, too.
typedef struct Node {
  struct Node* next;
  uint32_t size, key;  // All that follows is filled with the key's low byte.
  unsigned char content[];
} Node;

// Knuth's congruence, as in workload.h.
static inline uint32_t next_random(void) {
  static uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 32);
}

// 16 to 512 bytes, four of five below 128. The mean is 112.
static inline uint32_t next_size(void) {
  const uint32_t range = next_random() % 10;
  if (range < 4) return 16 + next_random() % 32;
  if (range < 8) return 48 + next_random() % 80;
  return 128 + next_random() % 385;
}

static inline Node* new_node(Node* next) {
  const uint32_t size = next_size();
  Node* node = malloc(size);
  if (node == NULL) fail("out of memory");
  *node = (Node){next, size, next_random()};
  memset(node->content, (int)(node->key & 255), size - sizeof *node);
  return node;
}

// The key of a node that has kept its content.
static inline uint32_t check_node(const Node* node) {
  for (size_t i = 0; i < node->size - sizeof *node; ++i) {
    if (node->content[i] != (node->key & 255)) wrong("a block has lost its content");
  }
  return node->key;
}

// Frees the node and returns its key.
static inline uint32_t end_node(Node* node) {
  const uint32_t key = check_node(node);
  free(node);
  return key;
}

static inline Node* new_chain(long nodes) {
  Node* chain = NULL;
  for (long i = 0; i < nodes; ++i) chain = new_node(chain);
  return chain;
}

// Frees all nodes and returns the sum of their keys.
static inline uint64_t end_chain(Node* chain) {
  uint64_t sum = 0;
  while (chain != NULL) {
    Node* next = chain->next;
    sum += end_node(chain);
    chain = next;
  }
  return sum;
}

// A field of what smaps_rollup says, in KiB.
static inline long field_kib(const char* text, const char* field) {
  const char* found = strstr(text, field);
  if (found == NULL) fail("a field is missing in smaps_rollup");
  return strtol(found + strlen(field), NULL, 10);
}

// What the process has written to and shares with no other, in KiB. The kernel counts as private
// and dirty also pages of a file that nobody else maps and that was just built, or lies in a tmpfs.
// Those are not anonymous; what forked processes share is, but not private.
static inline long private_dirty_kib(pid_t process) {
  static char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)process);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  const ssize_t length = file >= 0 ? read(file, text, sizeof text - 1) : -1;
  if (length <= 0) fail("no smaps_rollup in /proc");
  close(file);
  text[length] = '\0';
  const long dirty = field_kib(text, "\nPrivate_Dirty:");
  const long anonymous = field_kib(text, "\nAnonymous:");
  return dirty < anonymous ? dirty : anonymous;
}
