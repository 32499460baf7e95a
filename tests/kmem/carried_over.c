/* kmem/carried_over.c -- a small subsystem in the kernel's own style, and a program that drives it.
 *
 * The first part is as it would stand in a kernel, where the lines between #ifdef and #else give it
 * its names: inodes by number, in a hash table and on a list from the longest to the most recently
 * used, at most so many; dirty ones are written by requests from a pool, which must not fail. The
 * second part drives it with random numbers against a plain array. A fault ends it with status 1
 * and a line; objects that were lost end it when their cache is destroyed. */
#ifdef __KERNEL__
#include <linux/list.h>
#include <linux/mempool.h>
#include <linux/slab.h>
#else
#include <ashlar/kmem.h>
#include <stddef.h>

struct list_head {
  struct list_head *next, *prev;
};
#define container_of(p, type, member) ((type*)(void*)((char*)(p)-offsetof(type, member)))
static void INIT_LIST_HEAD(struct list_head* head) {
  head->next = head->prev = head;
}
static void list_add(struct list_head* entry, struct list_head* head) {
  entry->next = head->next;
  entry->prev = head;
  head->next->prev = entry;
  head->next = entry;
}
static void list_del_init(struct list_head* entry) {
  entry->next->prev = entry->prev;
  entry->prev->next = entry->next;
  INIT_LIST_HEAD(entry);
}
static int list_empty(const struct list_head* head) {
  return head->next == head;
}
#endif

/* ---- the subsystem --------------------------------------------------------------------------- */

#define TABLE_SIZE 256

struct node {
  struct list_head hash;
  struct list_head lru;
  unsigned long number;
  unsigned long size;
  int dirty;
  char* name;
};

struct request {
  struct node* node;
  unsigned long size;
};

struct node_table {
  struct list_head* buckets;
  struct list_head lru; /* the most recently used first */
  unsigned count, most;
  struct kmem_cache* nodes;
  struct kmem_cache* requests;
  mempool_t* request_pool;
  struct shrinker shrinker;
  unsigned long* disk; /* what a written node's size was, by number */
  unsigned long disk_size;
};

/* A free node is on no list: put_node() leaves it so. */
static void node_init_once(void* object) {
  struct node* node = object;
  memset(node, 0, sizeof(*node));
  INIT_LIST_HEAD(&node->hash);
  INIT_LIST_HEAD(&node->lru);
}

static int write_node(struct node_table* table, struct node* node) {
  struct request* request = mempool_alloc(table->request_pool, GFP_NOIO);
  request->node = node;
  request->size = node->size;
  if (node->number >= table->disk_size) {
    unsigned long size = node->number + 1;
    unsigned long* disk = krealloc_array(table->disk, size, sizeof(*disk), GFP_NOFS);
    if (!disk) {
      mempool_free(request, table->request_pool);
      return -ENOMEM;
    }
    memset(disk + table->disk_size, 0, (size - table->disk_size) * sizeof(*disk));
    table->disk = disk;
    table->disk_size = size;
  }
  table->disk[request->node->number] = request->size;
  node->dirty = 0;
  mempool_free(request, table->request_pool);
  return 0;
}

static int put_node(struct node_table* table, struct node* node) {
  int error = node->dirty ? write_node(table, node) : 0;
  if (error) return error;
  list_del_init(&node->hash);
  list_del_init(&node->lru);
  kfree(node->name);
  node->name = NULL;
  table->count--;
  kmem_cache_free(table->nodes, node);
  return 0;
}

static struct node* oldest(struct node_table* table) {
  return list_empty(&table->lru) ? NULL : container_of(table->lru.prev, struct node, lru);
}

static struct node* make_node(struct node_table* table, unsigned long number) {
  char name[32];
  /* At once if one lies ready, else with all that it takes. */
  struct node* node = kmem_cache_alloc(table->nodes, GFP_NOWAIT);
  if (!node) node = kmem_cache_alloc(table->nodes, GFP_KERNEL);
  if (!node) return NULL;
  snprintf(name, sizeof(name), "node %lu", number);
  node->name = kstrdup(name, GFP_KERNEL);
  if (!node->name) {
    kmem_cache_free(table->nodes, node);
    return NULL;
  }
  node->number = number;
  node->size = number < table->disk_size ? table->disk[number] : 0;
  list_add(&node->hash, &table->buckets[number % TABLE_SIZE]);
  list_add(&node->lru, &table->lru);
  table->count++;
  return node;
}

static struct node* get_node(struct node_table* table, unsigned long number) {
  struct list_head* bucket = &table->buckets[number % TABLE_SIZE];
  for (struct list_head* at = bucket->next; at != bucket; at = at->next) {
    struct node* node = container_of(at, struct node, hash);
    if (node->number != number) continue;
    list_del_init(&node->lru);
    list_add(&node->lru, &table->lru);
    return node;
  }
  while (table->count >= table->most)
    if (put_node(table, oldest(table))) return NULL;
  return make_node(table, number);
}

static unsigned long count_nodes(struct shrinker* shrinker, struct shrink_control* control) {
  (void)control;
  return container_of(shrinker, struct node_table, shrinker)->count;
}

static unsigned long scan_nodes(struct shrinker* shrinker, struct shrink_control* control) {
  struct node_table* table = container_of(shrinker, struct node_table, shrinker);
  unsigned long freed = 0;
  if (!(control->gfp_mask & __GFP_FS)) return SHRINK_STOP;
  while (freed < control->nr_to_scan && table->count > 0 && !put_node(table, oldest(table)))
    freed++;
  return freed;
}

static struct node_table* make_table(unsigned most) {
  struct kmem_cache_args args = {.align = __alignof__(struct node), .ctor = node_init_once};
  struct node_table* table = kzalloc(sizeof(*table), GFP_KERNEL);
  if (!table) return NULL;
  table->buckets = kvmalloc_array(TABLE_SIZE, sizeof(*table->buckets), GFP_KERNEL);
  if (!table->buckets) goto no_buckets;
  for (int i = 0; i < TABLE_SIZE; i++) INIT_LIST_HEAD(&table->buckets[i]);
  INIT_LIST_HEAD(&table->lru);
  table->most = most;
  table->nodes = kmem_cache_create("node", sizeof(struct node), &args, SLAB_RECLAIM_ACCOUNT);
  if (!table->nodes) goto no_nodes;
  table->requests = KMEM_CACHE(request, SLAB_HWCACHE_ALIGN | SLAB_NO_MERGE);
  if (!table->requests) goto no_requests;
  table->request_pool = mempool_create_slab_pool(2, table->requests);
  if (!table->request_pool) goto no_pool;
  table->shrinker.count_objects = count_nodes;
  table->shrinker.scan_objects = scan_nodes;
  table->shrinker.seeks = DEFAULT_SEEKS;
  if (register_shrinker(&table->shrinker, "nodes")) goto no_shrinker;
  return table;

no_shrinker:
  mempool_destroy(table->request_pool);
no_pool:
  kmem_cache_destroy(table->requests);
no_requests:
  kmem_cache_destroy(table->nodes);
no_nodes:
  kvfree(table->buckets);
no_buckets:
  kfree(table);
  return NULL;
}

static void end_table(struct node_table* table) {
  unregister_shrinker(&table->shrinker);
  while (table->count > 0) put_node(table, oldest(table));
  mempool_destroy(table->request_pool);
  kmem_cache_destroy(table->requests);
  kmem_cache_destroy(table->nodes);
  kvfree(table->buckets);
  kfree(table->disk);
  kfree(table);
}

/* ---- the program ----------------------------------------------------------------------------- */

enum { NUMBERS = 5000, STEPS = 200000, MOST = 700 };

static void expect(int holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "not so: %s\n", what);
  exit(1);
}

int main(void) {
  static unsigned long sizes[NUMBERS];
  unsigned long long random = 2026;
  struct kmem_cache* old_form = kmem_cache_create("old", 24, 8, SLAB_PANIC, NULL);
  struct kmem_cache* no_args = kmem_cache_create("none", 24, NULL, SLAB_PANIC);
  kmem_cache_free(old_form, kmem_cache_zalloc(old_form, GFP_KERNEL));
  kmem_cache_free(no_args, kmem_cache_zalloc(no_args, GFP_KERNEL));
  kmem_cache_destroy(old_form);
  kmem_cache_destroy(no_args);

  struct node_table* table = make_table(MOST);
  expect(table != NULL, "a table is made");
  for (int step = 0; step < STEPS; step++) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    unsigned long number = (unsigned long)(random >> 33) % NUMBERS;
    struct node* node = get_node(table, number);
    expect(node != NULL, "a node is found or made");
    expect(node->number == number && node->size == sizes[number], "a node keeps its size");
    expect(atol(node->name + 5) == (long)number, "a node keeps its name");
    expect(table->count <= MOST, "no more nodes than allowed");
    if (step % 3 == 0) {
      node->size = sizes[number] = (unsigned long)step;
      node->dirty = 1;
    }
    if (step % 10000 == 0) {
      struct shrink_control control = {.gfp_mask = GFP_KERNEL, .nr_to_scan = 200};
      const unsigned before = table->count;
      expect(scan_nodes(&table->shrinker, &control) + table->count == before, "shrinking counts");
      kmem_cache_shrink(table->nodes);
    }
  }
  end_table(table);
  return 0;
}
