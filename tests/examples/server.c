/* examples/server.c -- a small server that is linked with Ashlar and uses what malloc has not.
 *
 * It answers lines: "GET n" with a page that is costly to make, "KEEP n" by keeping n KiB for the
 * client until that leaves or says "KEEP 0". What it shows, each where it is used:
 *
 *   1. an object cache with a constructor: a connection's mutex and buffer are made once, and kept
 *      ready while the connection is free;
 *   2. an object cache without one, for the pages that it has made before;
 *   3. a shrinker, which drops such pages when memory is short;
 *   4. limits, so that memory is short before the machine's is;
 *   5. a pool, so that a client can be told of that.
 *
 * Its clients are threads of its own at the other ends of socket pairs. At the end it prints what
 * it holds; its status is 1 where a client was answered wrongly or something was not given back.
 *
 *   cc -Iinclude tests/examples/server.c build/libashlar.a -pthread -o server && ./server */
#include <ashlar/cache.h>
#include <ashlar/limits.h>
#include <ashlar/pool.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 4, BUFFER = 4096, PAGE_TEXT = 4000, MIB = 1 << 20 };

/* ---- 1. connections: costly to make, so they are kept as they were made ---------------------- */

struct connection {
  pthread_mutex_t lock; /* held by whoever sends: one reply at a time */
  char* buffer;         /* of BUFFER bytes: what was read and not yet used */
  size_t used;
  int socket; /* set by whoever takes the connection */
  struct kept* kept;
};

/* Called when an object is first made, not each time that one is given out. */
static int make_connection(void* object, void* data) {
  struct connection* connection = object;
  (void)data;
  connection->buffer = ashlar_kmalloc(BUFFER, 0);
  if (connection->buffer == NULL) return -1; /* then ashlar_cache_alloc() fails with ECANCELED */
  connection->used = 0;
  connection->kept = NULL;
  return pthread_mutex_init(&connection->lock, NULL);
}

/* Called when the object's memory goes back, perhaps much later, perhaps never. */
static void end_connection(void* object, void* data) {
  struct connection* connection = object;
  (void)data;
  pthread_mutex_destroy(&connection->lock);
  ashlar_kfree(connection->buffer);
}

static ashlar_cache* connections;

/* ---- 2. pages that were made before ---------------------------------------------------------- */

struct page {
  struct page* next; /* the next older one of its list */
  long number;
  char text[PAGE_TEXT];
};

enum { LISTS = 1024 };
static struct page* lists[LISTS];
static pthread_mutex_t pages_lock = PTHREAD_MUTEX_INITIALIZER;
static ashlar_cache* pages;

/* Stands for something that takes its time. */
static void render(long number, char* text) {
  memset(text, 'a' + (int)(number % 26), PAGE_TEXT - 2);
  text[PAGE_TEXT - 2] = '\n';
  text[PAGE_TEXT - 1] = 0;
}

/* Copies a page's text to `text`, and keeps the page if there is memory for it. (Twice where two
 * threads make it at the same time: no harm in a cache that is emptied now and then.) */
static void get_page(long number, char* text) {
  struct page** list = &lists[number % LISTS];
  pthread_mutex_lock(&pages_lock);
  struct page* page = *list;
  while (page != NULL && page->number != number) page = page->next;
  if (page != NULL) memcpy(text, page->text, PAGE_TEXT);
  pthread_mutex_unlock(&pages_lock);
  if (page != NULL) return;

  render(number, text);
  /* Without the lock: this may call the shrinker below. And at once or not at all, since a page
   * that is not kept is no harm: nothing else is given back for it. */
  page = ashlar_cache_alloc(pages, ASHLAR_NORETRY);
  if (page == NULL) return;
  page->number = number;
  memcpy(page->text, text, PAGE_TEXT);
  pthread_mutex_lock(&pages_lock);
  page->next = *list;
  *list = page;
  pthread_mutex_unlock(&pages_lock);
}

/* ---- 3. the shrinker: Ashlar calls it when memory is short ----------------------------------- */

static atomic_size_t pages_dropped;

static size_t drop_pages(void* data, size_t bytes) {
  size_t freed = 0;
  (void)data;
  /* Only tried: the thread that allocates just now might hold it. */
  if (pthread_mutex_trylock(&pages_lock) != 0) return 0;
  for (int i = 0; i < LISTS && freed < bytes; ++i) {
    while (lists[i] != NULL) {
      struct page* page = lists[i];
      lists[i] = page->next;
      ashlar_cache_free(pages, page);
      freed += sizeof(struct page);
      atomic_fetch_add(&pages_dropped, 1);
    }
  }
  pthread_mutex_unlock(&pages_lock);
  return freed;
}

/* ---- 5. error replies, which must not fail for want of memory -------------------------------- */

enum { ERROR_TEXT = 256, ERRORS_AT_LEAST = 2 };
static ashlar_pool* errors;
static atomic_size_t errors_sent;

static void reply(struct connection* connection, const char* text) {
  pthread_mutex_lock(&connection->lock);
  for (size_t left = strlen(text); left > 0;) {
    const ssize_t sent = send(connection->socket, text, left, MSG_NOSIGNAL);
    if (sent <= 0) break; /* the client is gone; reading will tell */
    text += sent;
    left -= (size_t)sent;
  }
  pthread_mutex_unlock(&connection->lock);
}

static void reply_error(struct connection* connection, const char* request) {
  /* More threads than the reserve has texts wait here until one of them is given back. */
  char* text = ashlar_pool_alloc(errors, 0, ASHLAR_POOL_FOREVER);
  snprintf(text, ERROR_TEXT, "ERROR no memory for %.100s\n", request);
  reply(connection, text);
  ashlar_pool_free(errors, text);
  atomic_fetch_add(&errors_sent, 1);
}

/* ---- the server: one thread for each connection ---------------------------------------------- */

struct kept {
  struct kept* next;
};

static void keep_nothing(struct connection* connection) {
  for (struct kept* kept; (kept = connection->kept) != NULL;) {
    connection->kept = kept->next;
    ashlar_kfree(kept);
  }
}

static void keep(struct connection* connection, const char* request) {
  const size_t size = (size_t)labs(atol(request + 5)) * 1024;
  if (size == 0) {
    keep_nothing(connection);
  } else {
    /* As malloc(), and free() would take it; flags tell more of the request. */
    struct kept* kept = ashlar_kmalloc(size, ASHLAR_ZERO);
    if (kept == NULL) {
      reply_error(connection, request);
      return;
    }
    kept->next = connection->kept;
    connection->kept = kept;
  }
  reply(connection, "KEPT\n");
}

static void answer(struct connection* connection, const char* request) {
  char text[PAGE_TEXT];
  if (strncmp(request, "KEEP ", 5) == 0) {
    keep(connection, request);
  } else if (strncmp(request, "GET ", 4) == 0) {
    get_page(labs(atol(request + 4)), text);
    reply(connection, text);
  } else {
    reply(connection, "ERROR what is that?\n");
  }
}

/* The next line of a connection, without its end; NULL where there is none. */
static char* next_line(struct connection* connection, char* line, size_t size) {
  char* end;
  while ((end = memchr(connection->buffer, '\n', connection->used)) == NULL) {
    if (connection->used == BUFFER) return NULL;
    const ssize_t got = recv(connection->socket, connection->buffer + connection->used,
                             BUFFER - connection->used, 0);
    if (got <= 0) return NULL;
    connection->used += (size_t)got;
  }
  const size_t length = (size_t)(end - connection->buffer);
  snprintf(line, size, "%.*s", (int)length, connection->buffer);
  connection->used -= length + 1;
  memmove(connection->buffer, end + 1, connection->used);
  return line;
}

static void* serve(void* argument) {
  char line[200];
  const int socket = *(int*)argument;
  /* NOFAIL: rather late than never. It gives back, asks the shrinker, and waits. */
  struct connection* connection = ashlar_cache_alloc(connections, ASHLAR_NOFAIL);
  if (connection == NULL)
    abort(); /* the constructor's buffer: a reason that NOFAIL does not know */
  connection->socket = socket;
  while (next_line(connection, line, sizeof line) != NULL) answer(connection, line);
  keep_nothing(connection);
  close(connection->socket);
  /* As the constructor left it: the mutex is free, the buffer there and empty, nothing kept. */
  connection->used = 0;
  ashlar_cache_free(connections, connection);
  return NULL;
}

/* ---- a client, which knows what the answers must be ------------------------------------------ */

static atomic_int faults;

static void ask(FILE* stream, const char* verb, long number, char* line) {
  fprintf(stream, "%s %ld\n", verb, number);
  fflush(stream);
  if (fgets(line, PAGE_TEXT, stream) == NULL) line[0] = 0;
}

static void get_pages(FILE* stream, long count) {
  char line[PAGE_TEXT], wanted[PAGE_TEXT];
  for (long i = 0; i < count; ++i) {
    const long number = i * 7919 % 4000;
    render(number, wanted);
    ask(stream, "GET", number, line);
    if (strcmp(line, wanted) != 0) atomic_fetch_add(&faults, 1);
  }
}

static void* be_client(void* argument) {
  FILE* stream = fdopen(*(int*)argument, "r+");
  char line[PAGE_TEXT];
  int kept = 0;
  get_pages(stream, 3000);       /* 12 MB, the same for every client */
  for (int i = 0; i < 40; ++i) { /* 40 MiB, which nobody gets */
    ask(stream, "KEEP", 1024, line);
    if (strcmp(line, "KEPT\n") == 0) {
      ++kept;
    } else if (strcmp(line, "ERROR no memory for KEEP 1024\n") != 0) {
      atomic_fetch_add(&faults, 1);
    }
  }
  if (kept == 40) atomic_fetch_add(&faults, 1);
  ask(stream, "KEEP", 0, line);
  get_pages(stream, 500);
  fclose(stream);
  return NULL;
}

/* ---- all together ---------------------------------------------------------------------------- */

static size_t describe(ashlar_cache* cache) {
  struct ashlar_cache_info info;
  ashlar_cache_get_info(cache, &info);
  printf("%-12s %6zu bytes each, %zu live, room for %zu in %zu slabs, constructed %zu times\n",
         info.name, info.size, info.live, info.held, info.slabs, info.made);
  return info.live;
}

int main(void) {
  const struct ashlar_cache_args constructed = {.construct = make_connection,
                                                .destruct = end_connection};
  /* Slabs of its own, so that it knows what it holds. */
  const struct ashlar_cache_args counted = {.flags = ASHLAR_CACHE_NO_MERGE};
  connections = ashlar_cache_create("connection", sizeof(struct connection), &constructed);
  pages = ashlar_cache_create("page", sizeof(struct page), &counted);
  errors = ashlar_pool_create_size(ERRORS_AT_LEAST, ERROR_TEXT);
  if (connections == NULL || pages == NULL || errors == NULL) return 1;
  /* 4. Above 12 MiB the shrinker is asked now and then, above 16 MiB before anything is refused. */
  const int shrinker = ashlar_shrinker_register(drop_pages, NULL);
  if (shrinker < 0 || ashlar_set_limits(12 * MIB, 16 * MIB) != 0) return 1;

  pthread_t threads[2 * CLIENTS];
  int sockets[2 * CLIENTS];
  for (int i = 0; i < 2 * CLIENTS; i += 2) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets + i) != 0) return 1;
    pthread_create(&threads[i], NULL, serve, &sockets[i]);
    pthread_create(&threads[i + 1], NULL, be_client, &sockets[i + 1]);
  }
  for (int i = 0; i < 2 * CLIENTS; ++i) pthread_join(threads[i], NULL);

  size_t live = describe(connections);
  describe(pages);
  printf("%zu pages dropped for want of memory, %zu errors sent, %zu of %zu texts for them ready\n",
         pages_dropped, errors_sent, ashlar_pool_ready(errors), ashlar_pool_least(errors));
  if (live != 0 || pages_dropped == 0 || errors_sent == 0) faults++;

  ashlar_shrinker_unregister(shrinker); /* from here on nobody else touches the pages */
  drop_pages(NULL, SIZE_MAX);
  ashlar_pool_destroy(errors);
  ashlar_cache_destroy(pages); /* with live objects this would end the process, and say so */
  ashlar_cache_destroy(connections);
  return faults != 0;
}
