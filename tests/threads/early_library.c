/* threads/early_library.c -- a shared library whose constructor allocates; see early_malloc.c. */
#include <stdlib.h>
#include <string.h>

char* early_library_text;

__attribute__((constructor(101))) static void construct(void) {
  early_library_text = realloc(strdup("lib"), 4000);
  free(calloc(100, 100));
}
