/* kmem/own_names.c -- a program whose own names clash with some of ashlar/kmem.h's has both. */
#define page kernel_page
#define vmalloc kernel_vmalloc
#define mempool_t kernel_mempool_t
#include <ashlar/kmem.h>
#undef page
#undef vmalloc
#undef mempool_t
#undef GFP_USER

#define GFP_USER "a user's own"

struct page {
  char text[40];
};

static int mempool_t = 3;

static int vmalloc(int number) {
  return number + mempool_t;
}

int main(void) {
  struct page page = {GFP_USER};
  struct kernel_page* first = alloc_page(GFP_KERNEL);
  void* block = kernel_vmalloc(10000);
  if (first == NULL || block == NULL) return 1;
  memset(page_address(first), 1, PAGE_SIZE);
  memset(block, 1, 10000);
  __free_page(first);
  vfree(block);
  return vmalloc(4) == 7 && page.text[0] == 'a' ? 0 : 2;
}
