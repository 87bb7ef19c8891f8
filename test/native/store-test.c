/* The store's rules, one by one, with this program as the controlling thread and as the reader. No kernel. */
#include "check.h"
#include "image.h"
#include "recorder.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 65536, SLOTS = 17, CHUNKS = 40 };
#define IMAGE ((uint64_t)CHUNKS * CHUNK - 1000)

static struct store *store;
static struct recorder *recorder;
static atomic_int rings;

static void ring(void *listener) {
  (void)listener;
  rings++;
}

static void open_store(uint32_t slots) {
  const char *why;
  struct store_options options = {.image_bytes = IMAGE, .chunk_bytes = CHUNK, .slots = slots, .ring = ring};
  rings = 0;
  recorder = malloc(sizeof *recorder);
  recorder_init(recorder);
  CHECK(store_create(&store, &options, &why) == 0);
}

static void close_store(void) {
  CHECK(recorder->twice == 0);
  store_close(store);
  store_destroy(store);
  recorder_destroy(recorder);
  free(recorder);
}

/* The next event; kind 0 when none comes within `ms`. */
static struct event next_event_within(int ms) {
  struct event event = {0, 0, 0};
  for (int i = 0; i <= ms * 10; i++) {
    if (store_take_events(store, &event, 1) == 1) return event;
    usleep(100);
  }
  return event;
}

static struct event next_event(void) { return next_event_within(10000); }

static bool no_event(void) { return next_event_within(20).kind == 0; }

static void fill_and_complete(uint32_t chunk, uint32_t slot) {
  uint8_t *data = malloc(CHUNK);
  image_fill(data, (uint64_t)chunk * CHUNK, CHUNK);
  size_t bytes = chunk == CHUNKS - 1 ? CHUNK - 1000 : CHUNK;
  CHECK(store_write(store, slot, 0, data, bytes) == 0);
  CHECK(store_complete(store, chunk, slot) == 0);
  free(data);
}

static void read_at(uint64_t unique, uint64_t offset, uint32_t bytes) {
  store_read(store, &recorder->to, unique, offset, bytes);
}

static bool answered_right(uint64_t unique, uint64_t offset, size_t bytes) {
  struct answer answer = recorder_take(recorder, unique);
  bool right = answer.given && answer.error == 0 && answer.bytes == bytes && image_is(answer.data, offset, bytes);
  free(answer.data);
  return right;
}

static int answered_error(uint64_t unique) {
  struct answer answer = recorder_take(recorder, unique);
  free(answer.data);
  return answer.given ? answer.error : -1;
}

#define EXPECT(want_kind, want_a)                                   \
  do {                                                              \
    struct event event = next_event();                              \
    CHECK(event.kind == (want_kind) && event.a == (int)(want_a));   \
  } while (0)

/* Prefetches a chunk all the way. */
static void prefetch(uint32_t chunk) {
  int64_t slot = store_grant(store, chunk);
  CHECK(slot >= 0);
  fill_and_complete(chunk, (uint32_t)slot);
  EXPECT(EVENT_PUBLISHED, chunk);
}

static void misses_once(void) {
  open_store(SLOTS);
  read_at(1, 10, 100);
  struct event event = next_event();
  CHECK(event.kind == EVENT_GRANTED && event.a == 0);
  read_at(2, 500, 50); /* the same chunk: no further event */
  CHECK(no_event());
  CHECK(!recorder_has(recorder, 1));
  fill_and_complete(0, (uint32_t)event.b);
  EXPECT(EVENT_PUBLISHED, 0);
  CHECK(answered_right(1, 10, 100));
  CHECK(answered_right(2, 500, 50));
  read_at(3, 0, CHUNK);
  CHECK(recorder_has(recorder, 3)); /* answered before store_read returned */
  CHECK(answered_right(3, 0, CHUNK));
  struct store_stats stats;
  store_get_stats(store, &stats);
  CHECK(stats.reads_cached == 1 && stats.reads_waited == 2 && stats.bytes_read == 150 + CHUNK);
  CHECK(stats.reads_waiting == 0 && stats.chunks_present == 1 && stats.chunks_in_flight == 0);
  close_store();
}

static void ends_of_the_file(void) {
  open_store(CHUNKS);
  prefetch(CHUNKS - 1);
  prefetch(CHUNKS - 2);
  read_at(1, IMAGE - 10, 4096);
  CHECK(answered_right(1, IMAGE - 10, 10));
  read_at(2, IMAGE, 4096);
  CHECK(answered_right(2, IMAGE, 0));
  read_at(3, UINT64_MAX - 5, 4096);
  CHECK(answered_right(3, 0, 0));
  read_at(4, (uint64_t)(CHUNKS - 1) * CHUNK - 7, 20);
  CHECK(answered_right(4, (uint64_t)(CHUNKS - 1) * CHUNK - 7, 20));
  read_at(5, 0, STORE_MAX_READ_BYTES + 1);
  CHECK(answered_error(5) == EINVAL);
  close_store();
}

/* Answers granted chunks until the read is there; evicts what is asked for. */
static bool serve_until(uint64_t unique) {
  for (int i = 0; i < 1000 && !recorder_has(recorder, unique); i++) {
    struct event event = next_event_within(100);
    if (event.kind == EVENT_GRANTED) fill_and_complete((uint32_t)event.a, (uint32_t)event.b);
    if (event.kind == EVENT_SLOTS_WANTED)
      for (uint32_t chunk = 0, left = (uint32_t)event.a; chunk < 2 * CHUNKS && left > 0; chunk++)
        left -= store_try_evict(store, chunk % CHUNKS) == EVICTED_YES;
  }
  return recorder_has(recorder, unique);
}

static void whole_reads_through_smallest_arena(void) {
  open_store(SLOTS);
  read_at(1, 100, STORE_MAX_READ_BYTES);
  CHECK(serve_until(1));
  CHECK(answered_right(1, 100, STORE_MAX_READ_BYTES));
  read_at(2, 20 * CHUNK + 1, STORE_MAX_READ_BYTES);
  CHECK(serve_until(2));
  CHECK(answered_right(2, 20 * CHUNK + 1, STORE_MAX_READ_BYTES));
  close_store();
}

static void admission_is_in_order(void) {
  open_store(SLOTS);
  uint32_t slots[SLOTS];
  for (uint32_t i = 0; i < SLOTS; i++) slots[i] = (uint32_t)store_spare(store);
  CHECK(store_spare(store) == GRANT_NO_SLOT);
  CHECK(store_grant(store, 1) == GRANT_NO_SLOT);
  read_at(1, 0, 2 * CHUNK);    /* needs two */
  read_at(2, 5 * CHUNK, 10);   /* needs one, and comes later */
  EXPECT(EVENT_SLOTS_WANTED, 2);
  CHECK(no_event());
  CHECK(store_drop(store, slots[0]) == 0);
  EXPECT(EVENT_SLOTS_WANTED, 1); /* said again; the second read has not overtaken */
  CHECK(store_spare(store) == GRANT_NO_SLOT);
  CHECK(store_drop(store, slots[1]) == 0);
  EXPECT(EVENT_GRANTED, 0);
  EXPECT(EVENT_GRANTED, 1);
  EXPECT(EVENT_SLOTS_WANTED, 1);
  CHECK(store_drop(store, slots[2]) == 0);
  EXPECT(EVENT_GRANTED, 5);
  close_store();
}

static void pins_and_shortage(void) {
  open_store(SLOTS);
  for (uint32_t i = 0; i < SLOTS; i++) prefetch(i);
  read_at(1, 20 * CHUNK, CHUNK); /* no slot */
  EXPECT(EVENT_SLOTS_WANTED, 1);
  CHECK(store_try_evict(store, 39) == EVICTED_ABSENT);
  read_at(2, 3 * CHUNK, 10); /* cached: answered at once, past the queue, and asks again as its pin goes */
  CHECK(answered_right(2, 3 * CHUNK, 10));
  EXPECT(EVENT_SLOTS_WANTED, 1);
  CHECK(store_try_evict(store, 3) == EVICTED_YES); /* in a shortage a cached read does not save its chunk */
  EXPECT(EVENT_GRANTED, 20);
  close_store();
}

/* A reader that is slow to take its answer: what happens while it holds its pins is what `meanwhile` does. */
struct slow_reader {
  struct reply_to to;
  void (*meanwhile)(void);
};

static void slow_reply(struct reply_to *to, uint64_t unique, int error, struct iovec *iov, int count, size_t bytes) {
  (void)unique, (void)error, (void)iov, (void)count, (void)bytes;
  ((struct slow_reader *)to)->meanwhile();
}

static void evict_and_read_3(void) {
  CHECK(store_try_evict(store, 3) == EVICTED_PINNED);
  read_at(2, 3 * CHUNK, 10); /* present, but the head wants its slot: behind it in the queue */
  CHECK(!recorder_has(recorder, 2));
  read_at(3, 4 * CHUNK, 10); /* present, and nobody has tried to evict it */
  CHECK(recorder_has(recorder, 3));
}

static void overlapping_pins_do_not_starve(void) {
  struct slow_reader slow = {{slow_reply}, evict_and_read_3};
  open_store(SLOTS);
  for (uint32_t i = 0; i < SLOTS; i++) prefetch(i);
  read_at(1, 20 * CHUNK, CHUNK);
  EXPECT(EVENT_SLOTS_WANTED, 1);
  store_read(store, &slow.to, 99, 3 * CHUNK, 10);
  EXPECT(EVENT_SLOTS_WANTED, 1); /* the last pin has gone */
  CHECK(store_try_evict(store, 3) == EVICTED_YES);
  EXPECT(EVENT_GRANTED, 20);
  EXPECT(EVENT_SLOTS_WANTED, 1); /* for the second read, which lost its chunk */
  close_store();
}

static void promotes_prefetches(void) {
  open_store(SLOTS);
  int64_t slot = store_grant(store, 4);
  CHECK(slot >= 0);
  CHECK(store_grant(store, 4) == GRANT_NOT_ABSENT);
  CHECK(no_event());
  read_at(1, 4 * CHUNK, 10);
  EXPECT(EVENT_PROMOTED, 4);
  read_at(2, 4 * CHUNK, 10);
  CHECK(no_event());
  CHECK(!store_release(store, 4));
  fill_and_complete(4, (uint32_t)slot);
  EXPECT(EVENT_PUBLISHED, 4);
  CHECK(answered_right(1, 4 * CHUNK, 10));
  CHECK(answered_right(2, 4 * CHUNK, 10));
  CHECK(store_grant(store, 4) == GRANT_NOT_ABSENT);
  struct store_stats stats;
  store_get_stats(store, &stats);
  CHECK(stats.chunks_prefetched == 0);
  prefetch(5);
  read_at(3, 5 * CHUNK, 10);
  CHECK(answered_right(3, 5 * CHUNK, 10));
  read_at(4, 5 * CHUNK, 10);
  CHECK(answered_right(4, 5 * CHUNK, 10));
  store_get_stats(store, &stats);
  CHECK(stats.chunks_prefetched == 1 && stats.chunks_prefetched_read == 1);
  close_store();
}

static void second_copies_are_surplus(void) {
  open_store(SLOTS);
  read_at(1, 0, 10);
  struct event event = next_event();
  int64_t second = store_spare(store);
  CHECK(second >= 0 && second != event.b);
  fill_and_complete(0, (uint32_t)second);
  EXPECT(EVENT_PUBLISHED, 0);
  CHECK(answered_right(1, 0, 10));
  fill_and_complete(0, (uint32_t)event.b);
  struct event surplus = next_event();
  CHECK(surplus.kind == EVENT_SURPLUS && surplus.a == 0 && surplus.b == event.b);
  struct store_stats stats;
  store_get_stats(store, &stats);
  CHECK(stats.slots_free == SLOTS - 1);
  CHECK(store_complete(store, 0, (uint32_t)event.b) == EINVAL);
  CHECK(store_write(store, (uint32_t)event.b, 0, "x", 1) == EINVAL);
  CHECK(store_write(store, 0, CHUNK, "x", 1) == EINVAL);
  close_store();
}

static void failing_answers_all(void) {
  open_store(SLOTS);
  prefetch(1);
  read_at(1, CHUNK, 3 * CHUNK); /* 1 present, 2 and 3 missing */
  read_at(2, 2 * CHUNK, 10);
  read_at(3, 3 * CHUNK, 10);
  struct event two = next_event(), three = next_event();
  CHECK(two.kind == EVENT_GRANTED && two.a == 2 && three.a == 3);
  CHECK(store_try_evict(store, 1) == EVICTED_PINNED);
  store_fail(store, 2, EIO);
  CHECK(answered_error(1) == EIO);
  CHECK(answered_error(2) == EIO);
  CHECK(!recorder_has(recorder, 3));
  CHECK(store_try_evict(store, 1) == EVICTED_REFERENCED); /* its pin is gone */
  CHECK(store_try_evict(store, 1) == EVICTED_YES);
  fill_and_complete(3, (uint32_t)three.b);
  EXPECT(EVENT_PUBLISHED, 3);
  CHECK(answered_right(3, 3 * CHUNK, 10));
  CHECK(store_drop(store, (uint32_t)two.b) == 0);
  read_at(4, 2 * CHUNK, 10); /* absent again: asked for anew */
  struct event again = next_event();
  CHECK(again.kind == EVENT_GRANTED && again.a == 2);
  struct store_stats stats;
  store_get_stats(store, &stats);
  CHECK(stats.reads_failed == 2);
  close_store();
}

static void releases_what_nobody_wants(void) {
  open_store(SLOTS);
  int64_t slot = store_grant(store, 7);
  CHECK(store_release(store, 7));
  CHECK(!store_release(store, 7));
  fill_and_complete(7, (uint32_t)slot); /* came all the same */
  EXPECT(EVENT_SURPLUS, 7);
  struct store_stats stats;
  store_get_stats(store, &stats);
  CHECK(stats.slots_free == SLOTS && stats.chunks_in_flight == 0 && stats.chunks_present == 0);
  close_store();
}

static void interrupts(void) {
  open_store(SLOTS);
  prefetch(0);
  read_at(1, 0, 2 * CHUNK);
  struct event event = next_event();
  CHECK(event.kind == EVENT_GRANTED && event.a == 1);
  store_interrupt(store, 1);
  CHECK(recorder_has(recorder, 1));
  CHECK(answered_error(1) == EINTR);
  CHECK(store_try_evict(store, 0) == EVICTED_REFERENCED);
  CHECK(store_try_evict(store, 0) == EVICTED_YES);
  /* The chunk goes on flying; a new reader joins it without a further event. */
  read_at(2, CHUNK, 10);
  CHECK(no_event());
  fill_and_complete(1, (uint32_t)event.b);
  EXPECT(EVENT_PUBLISHED, 1);
  CHECK(answered_right(2, CHUNK, 10));
  /* An interrupt that overtook its read. */
  store_interrupt(store, 77);
  read_at(77, 9 * CHUNK, 10);
  CHECK(answered_error(77) == EINTR);
  CHECK(no_event());
  struct store_stats stats;
  store_get_stats(store, &stats);
  CHECK(stats.reads_interrupted == 2 && stats.reads_failed == 0);
  close_store();
}

static void interrupted_head_lets_the_next_in(void) {
  open_store(SLOTS);
  uint32_t slots[SLOTS];
  for (uint32_t i = 0; i < SLOTS; i++) slots[i] = (uint32_t)store_spare(store);
  CHECK(store_drop(store, slots[0]) == 0);
  read_at(1, 0, 5 * CHUNK);
  read_at(2, 10 * CHUNK, 10);
  EXPECT(EVENT_SLOTS_WANTED, 4);
  store_interrupt(store, 1);
  CHECK(answered_error(1) == EINTR);
  EXPECT(EVENT_GRANTED, 10);
  close_store();
}

static void second_chance(void) {
  open_store(SLOTS);
  read_at(1, 0, 10);
  struct event event = next_event();
  fill_and_complete(0, (uint32_t)event.b);
  EXPECT(EVENT_PUBLISHED, 0);
  CHECK(answered_right(1, 0, 10));
  /* Being answered is the first use, not a second. The pin goes a moment after the answer. */
  enum evicted evicted;
  while ((evicted = store_try_evict(store, 0)) == EVICTED_PINNED) usleep(100);
  CHECK(evicted == EVICTED_YES);
  prefetch(2);
  read_at(2, 2 * CHUNK, 10);
  CHECK(answered_right(2, 2 * CHUNK, 10));
  CHECK(store_try_evict(store, 2) == EVICTED_REFERENCED);
  CHECK(store_try_evict(store, 2) == EVICTED_YES);
  CHECK(store_try_evict(store, 2) == EVICTED_ABSENT);
  close_store();
}

static void marks(void) {
  open_store(SLOTS);
  prefetch(3);
  store_mark(store, 3);
  CHECK(no_event());
  read_at(1, 3 * CHUNK, 10);
  EXPECT(EVENT_TOUCHED, 3);
  read_at(2, 3 * CHUNK, 10);
  CHECK(no_event());
  CHECK(store_grant(store, 4) >= 0);
  store_mark(store, 4);
  read_at(3, 4 * CHUNK, 10); /* has to wait, and touches all the same */
  EXPECT(EVENT_PROMOTED, 4);
  EXPECT(EVENT_TOUCHED, 4);
  close_store();
}

static void closing_answers_all(void) {
  open_store(SLOTS);
  read_at(1, 0, 10);
  read_at(2, 0, STORE_MAX_READ_BYTES);
  read_at(3, 20 * CHUNK, STORE_MAX_READ_BYTES);
  store_close(store);
  CHECK(answered_error(1) == EIO && answered_error(2) == EIO && answered_error(3) == EIO);
  read_at(4, 0, 10);
  CHECK(answered_error(4) == EIO);
  close_store();
}

static void bell_rings_once(void) {
  open_store(SLOTS);
  CHECK(rings == 0);
  read_at(1, 0, 3 * CHUNK);
  CHECK(rings == 1);
  struct event events[8];
  CHECK(store_take_events(store, events, 2) == 2);
  read_at(2, 5 * CHUNK, 10);
  CHECK(rings == 1); /* the listener has not seen the end yet */
  CHECK(store_take_events(store, events, 8) == 2);
  CHECK(store_take_events(store, events, 8) == 0);
  read_at(3, 6 * CHUNK, 10);
  CHECK(rings == 2);
  close_store();
}

static void loses_no_event(void) {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    size_t more_than_any_machine_has = (size_t)1 << 58;
    struct event_queue queue = {.capacity = more_than_any_machine_has, .count = more_than_any_machine_has};
    close(STDERR_FILENO);
    events_post(&queue, EVENT_GRANTED, 1, 1);
    _exit(0);
  }
  waitpid(child, &status, 0);
  CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}

static void refuses_bad_options(void) {
  static const uint8_t key[64];
  const char *why;
  struct store *none;
  const struct store_options good = {.image_bytes = IMAGE, .chunk_bytes = CHUNK, .slots = SLOTS, .ring = ring};
  struct store_options bad[] = {good, good, good, good, good, good, good, good, good};
  bad[0].slots = 16;
  bad[1].chunk_bytes = 65535;
  bad[2].chunk_bytes = 2048;
  bad[3].hidden_bytes = 100;
  bad[4].hidden_bytes = (uint64_t)CHUNKS * CHUNK;
  bad[5].xts_key = key, bad[5].xts_key_bytes = 32; /* the image is no multiple of 512 */
  bad[6].image_bytes = 512 * 9000, bad[6].xts_key = key, bad[6].xts_key_bytes = 48;
  bad[7].leaves = key, bad[7].leaf_count = 2, bad[7].block_bytes = CHUNK;
  bad[8].image_bytes = 0;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    CHECK(store_create(&none, &bad[i], &why) == EINVAL);
    CHECK(why != NULL);
  }
  struct store_options small = {.image_bytes = 5000, .chunk_bytes = 4096, .slots = 2, .ring = ring};
  CHECK(store_create(&store, &small, &why) == 0); /* holds the whole image */
  store_close(store);
  store_destroy(store);
}

int main(void) {
  TEST(misses_once, "many reads of one absent chunk make one granted event, and are all answered");
  TEST(ends_of_the_file, "reads are cut at the end of the file; more than the greatest read is refused");
  TEST(whole_reads_through_smallest_arena, "the smallest arena carries the greatest reads");
  TEST(admission_is_in_order, "reads are admitted in order, and only when all their slots can be had");
  TEST(pins_and_shortage, "in a shortage a cached read neither waits nor keeps its chunk in the arena");
  TEST(overlapping_pins_do_not_starve, "a chunk that pins kept from being evicted takes no new readers in a shortage");
  TEST(promotes_prefetches, "the first reader of a prefetch promotes it, once");
  TEST(second_copies_are_surplus, "a second copy is surplus, and slots are only used by their owner");
  TEST(failing_answers_all, "a failed chunk fails its readers, releases their pins, and can be asked for again");
  TEST(releases_what_nobody_wants, "an in-flight chunk without readers can be released");
  TEST(interrupts, "an interrupted read is answered EINTR at once, even when the interrupt came first");
  TEST(interrupted_head_lets_the_next_in, "when the queue's head gives up, the next is looked at");
  TEST(second_chance, "being answered is a chunk's first use; a further read gives it a second chance");
  TEST(marks, "a marked chunk is reported when it is next read, waiting or not");
  TEST(closing_answers_all, "closing answers every read with EIO");
  TEST(bell_rings_once, "the listener is rung for the first event only until it has seen the end");
  TEST(loses_no_event, "what cannot be told ends the process");
  TEST(refuses_bad_options, "options that cannot work are refused with a reason");
  DONE();
}
