/* Many reader threads, a loader that misbehaves at random, arenas down to the smallest: no wrong byte, no standstill. */
#include "check.h"
#include "loader.h"
#include "recorder.h"
#include "served.h"

#include <errno.h>
#include <unistd.h>

enum { READERS = 64, CHUNK = 16384 };
#define IMAGE (6u * 1024 * 1024 + 3 * 4096 + 512)
#define HIDDEN 4608u /* no multiple of the chunk or the verity block */

static struct store *store;
static struct recorder *recorder;
static uint64_t file_bytes;
static unsigned reads_each;
static bool errors_expected;
static struct loader *ram_loader; /* not NULL: its RAM file is to have come and gone before the readers end */
static atomic_uint wrong, failed, interrupted;
static atomic_ullong reads_done;

/* A reader has one read at a time, and its own place in the recorder: others may do thousands while it waits for one. */
static void *reader_main(void *argument) {
  uint64_t random = 88172645463325252ULL + (uint64_t)(uintptr_t)argument * 7919;
  uint64_t unique = (uint64_t)(uintptr_t)argument;
  for (unsigned i = 0; i < reads_each || (ram_loader != NULL && !ram_loader->tried_ram); i++) {
    uint64_t offset = next_random(&random) % file_bytes;
    uint32_t bytes = 1 + (uint32_t)(next_random(&random) % (i % 4 == 0 ? STORE_MAX_READ_BYTES : 40000));
    uint64_t left = file_bytes - offset;
    unique += RECORDER_ANSWERS;
    reads_done++;
    store_read(store, &recorder->to, unique, offset, bytes);
    if (next_random(&random) % 50 == 0) store_interrupt(store, unique);
    struct answer answer = recorder_take(recorder, unique);
    if (!answer.given || (answer.error != 0 && answer.error != EINTR && !(errors_expected && answer.error == EIO)))
      wrong++;
    else if (answer.error == 0 &&
             (answer.bytes != (bytes < left ? bytes : left) || !image_is(answer.data, offset, answer.bytes)))
      wrong++;
    failed += answer.error == EIO;
    interrupted += answer.error == EINTR;
    free(answer.data);
  }
  return NULL;
}

static atomic_bool auditing;

/* What is not there counts as wrong, so little can be said of the result; but it must not disturb anything. */
static void *auditor_main(void *argument) {
  uint32_t chunks = *(const uint32_t *)argument;
  int64_t found;
  for (uint32_t first = 0; auditing; first = (first + 1) % chunks)
    if (store_audit(store, first, chunks - first, &found) != 0 || found < -1 || found >= chunks) wrong++;
  return NULL;
}

/* Nobody reads any more: the RAM file goes, and nothing is counted that is not there. */
static void comes_to_rest(struct loader *loader) {
  struct store_stats stats;
  uint32_t holders = 1;
  for (int i = 0; i < 10000 && holders > 0; i++) {
    CHECK(store_detach_ram(store, &holders) == 0);
    if (holders > 0) usleep(1000);
  }
  CHECK(holders == 0);
  for (size_t i = loader->order_count * 2; i-- > 0;) store_try_evict(store, loader->order[i % loader->order_count]);
  store_get_stats(store, &stats);
  CHECK(stats.chunks_in_ram == 0);
  CHECK(stats.chunks_present + stats.slots_free <= stats.slots_total);
}

static void stress(uint32_t slots, struct loader_options options, unsigned reads) {
  struct served served;
  struct loader loader;
  struct store_options store_options;
  pthread_t readers[READERS], auditor;
  const char *why;
  served_make(&served, IMAGE, HIDDEN, CHUNK, 4096);
  options.chunks = served.chunks;
  options.chunk_bytes = CHUNK;
  options.slots = slots;
  options.fetch = served_fetch;
  options.context = &served;
  loader_init(&loader, &options);
  served_options(&served, slots, &store_options);
  store_options.ring = loader_ring;
  store_options.listener = &loader;
  recorder = malloc(sizeof *recorder);
  recorder_init(recorder);
  wrong = failed = interrupted = 0;
  reads_done = 0;
  errors_expected = options.fail > 0;
  reads_each = reads;
  ram_loader = options.ram > 0 ? &loader : NULL;
  CHECK(store_create(&store, &store_options, &why) == 0);
  file_bytes = store_file_bytes(store);
  loader_start(&loader, store);
  for (uintptr_t i = 0; i < READERS; i++) pthread_create(&readers[i], NULL, reader_main, (void *)i);
  auditing = options.ram > 0;
  if (options.ram > 0) pthread_create(&auditor, NULL, auditor_main, &served.chunks);
  for (int i = 0; i < READERS; i++) pthread_join(readers[i], NULL);
  struct store_stats stats;
  store_get_stats(store, &stats);
  loader_stop(&loader);
  auditing = false;
  if (options.ram > 0) pthread_join(auditor, NULL);
  CHECK(wrong == 0);
  CHECK(recorder->twice == 0);
  CHECK(stats.reads_waiting == 0);
  CHECK(stats.reads_cached + stats.reads_waited + stats.reads_failed + stats.reads_interrupted == reads_done);
  CHECK(reads_done >= READERS * reads);
  CHECK(stats.reads_interrupted == interrupted && stats.reads_failed == failed);
  if (options.corrupt > 0) CHECK(stats.chunks_rejected > 0);
  if (options.fail > 0) CHECK(loader.failed > 0);
  if (options.ram > 0) comes_to_rest(&loader);
  store_close(store);
  store_destroy(store);
  recorder_destroy(recorder);
  free(recorder);
  loader_destroy(&loader);
  served_free(&served);
}

#define SMALLEST (STORE_MAX_READ_BYTES / CHUNK + 1)

static unsigned reads = 150;

static void smallest_arena(void) { stress(SMALLEST, (struct loader_options){0}, reads); }

static void smallest_arena_everything(void) {
  stress(SMALLEST,
         (struct loader_options){.corrupt = 50, .hedge = 100, .fail = 10, .prefetch = 200, .shuffle = 300}, reads);
}

static void half_the_image(void) {
  stress(IMAGE / CHUNK / 2, (struct loader_options){.corrupt = 50, .hedge = 100, .prefetch = 300, .shuffle = 300},
         reads);
}

static void whole_image(void) {
  stress(IMAGE / CHUNK + 1, (struct loader_options){.corrupt = 20, .prefetch = 300, .shuffle = 300}, reads);
}

static void ram_comes_and_goes(void) {
  stress(SMALLEST,
         (struct loader_options){.corrupt = 50, .hedge = 100, .prefetch = 300, .shuffle = 300, .ram = 500}, reads);
  stress(IMAGE / CHUNK / 2,
         (struct loader_options){.corrupt = 50, .hedge = 100, .fail = 10, .prefetch = 300, .shuffle = 300, .ram = 500},
         reads);
}

/* All but one reader live on cached chunks, so that pins overlap for ever; the greatest reads must still get through. */
static atomic_bool hammering;
static struct recorder *hammered;

static void *hammer_main(void *argument) {
  uint64_t random = 1 + (uint64_t)(uintptr_t)argument;
  uint64_t unique = (uint64_t)(uintptr_t)argument; /* one read at a time: its own place in the recorder */
  while (hammering) {
    uint64_t offset = next_random(&random) % 4 * CHUNK;
    store_read(store, &hammered->to, unique, offset, 8);
    struct answer answer = recorder_take(hammered, unique);
    if (!answer.given || answer.error != 0 || !image_is(answer.data, offset, 8)) wrong++;
    free(answer.data);
  }
  return NULL;
}

static void hot_chunks_do_not_starve(void) {
  struct served served;
  struct loader loader;
  struct store_options store_options;
  pthread_t hammers[8];
  const char *why;
  served_make(&served, IMAGE, 0, CHUNK, 4096);
  struct loader_options options = {served.chunks, CHUNK, SMALLEST, served_fetch, &served, 0, 0, 0, 0, 0, 0};
  loader_init(&loader, &options);
  served_options(&served, SMALLEST, &store_options);
  store_options.ring = loader_ring;
  store_options.listener = &loader;
  recorder = malloc(sizeof *recorder);
  recorder_init(recorder);
  hammered = malloc(sizeof *hammered);
  recorder_init(hammered);
  wrong = 0;
  reads_done = 0;
  CHECK(store_create(&store, &store_options, &why) == 0);
  loader_start(&loader, store);
  hammering = true;
  for (uintptr_t i = 0; i < 8; i++) pthread_create(&hammers[i], NULL, hammer_main, (void *)i);
  for (int i = 0; i < 20; i++) {
    uint64_t unique = (uint64_t)i + 1;
    uint64_t offset = 2 * STORE_MAX_READ_BYTES + 100;
    store_read(store, &recorder->to, unique, offset, STORE_MAX_READ_BYTES);
    struct answer answer = recorder_take(recorder, unique);
    CHECK(answer.given && answer.error == 0 && image_is(answer.data, offset, answer.bytes));
    free(answer.data);
  }
  hammering = false;
  for (int i = 0; i < 8; i++) pthread_join(hammers[i], NULL);
  CHECK(wrong == 0);
  loader_stop(&loader);
  store_close(store);
  store_destroy(store);
  recorder_destroy(recorder);
  free(recorder);
  recorder_destroy(hammered);
  free(hammered);
  loader_destroy(&loader);
  served_free(&served);
}

int main(void) {
  /* Sanitizers are slow: their runs do fewer. */
  if (getenv("TEST_READS") != NULL) reads = (unsigned)atoi(getenv("TEST_READS"));
  TEST(smallest_arena, "64 readers through the smallest arena: every byte right, no standstill");
  TEST(smallest_arena_everything, "the same with corrupt, second, failed, released and interrupted fetches");
  TEST(half_the_image, "an arena of half the image, hedges and prefetches");
  TEST(whole_image, "an arena of the whole image");
  TEST(ram_comes_and_goes, "the RAM file comes and goes, chunks move, audits and trims run: every byte right");
  TEST(hot_chunks_do_not_starve, "readers of hot chunks do not starve the greatest read in the smallest arena");
  DONE();
}
