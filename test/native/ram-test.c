/* The RAM file, the trace and trimming, with this program as the controlling thread and as the reader. No kernel mount. */
#include "check.h"
#include "recorder.h"
#include "served.h"
#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 16384, SLOTS = 65, BLOCK = 4096 };
#define IMAGE ((uint64_t)9 * CHUNK + 3 * 4096 + 512)
#define HIDDEN 4608u /* no multiple of a page, a chunk or a block */

static struct served served;
static struct store *store;
static struct recorder *recorder;
static int ram;

static void ring(void *listener) { (void)listener; }

static void open_store_of(uint64_t bytes, uint64_t hidden, uint32_t slots, bool encrypted, uint32_t trace_limit) {
  struct store_options options;
  const char *why;
  served_make(&served, bytes, hidden, CHUNK, BLOCK);
  served_options(&served, slots, &options);
  options.ring = ring;
  options.trace_limit = trace_limit;
  if (!encrypted) {
    options.xts_key = NULL;
    options.leaves = NULL;
    image_fill(served.data + hidden, 0, bytes - hidden);
  }
  recorder = malloc(sizeof *recorder);
  recorder_init(recorder);
  CHECK(store_create(&store, &options, &why) == 0);
}

static void open_store(void) { open_store_of(IMAGE, HIDDEN, SLOTS, true, 0); }

static void close_store(void) {
  CHECK(recorder->twice == 0);
  store_close(store);
  store_destroy(store);
  recorder_destroy(recorder);
  free(recorder);
  served_free(&served);
}

static struct event next_event(void) {
  struct event event = {0, 0, 0};
  for (int i = 0; i < 100000 && store_take_events(store, &event, 1) == 0; i++) usleep(100);
  return event;
}

#define EXPECT(want_kind, want_a)                                 \
  do {                                                            \
    struct event event = next_event();                            \
    CHECK(event.kind == (want_kind) && event.a == (int)(want_a)); \
  } while (0)

static struct store_stats stats(void) {
  struct store_stats stats;
  store_get_stats(store, &stats);
  return stats;
}

static void complete(uint32_t chunk, uint32_t slot) {
  CHECK(store_write(store, slot, 0, served.data + (uint64_t)chunk * CHUNK, CHUNK) == 0);
  CHECK(store_complete(store, chunk, slot) == 0);
}

static void prefetch(uint32_t chunk, int kind) {
  int64_t slot = store_grant(store, chunk);
  CHECK(slot >= 0);
  complete(chunk, (uint32_t)slot);
  EXPECT(kind, chunk);
}

static void attach(void) { CHECK(store_attach_ram(store, &ram) == 0); }

static void fill(void) {
  for (uint32_t chunk = 0; chunk < served.chunks; chunk++) prefetch(chunk, EVENT_KEPT);
}

static bool read_is_right(uint64_t unique, uint64_t offset, uint32_t bytes) {
  store_read(store, &recorder->to, unique, offset, bytes);
  struct answer answer = recorder_take(recorder, unique);
  uint64_t left = store_file_bytes(store) - offset;
  bool right = answer.given && answer.error == 0 && answer.bytes == (bytes < left ? bytes : left) &&
               image_is(answer.data, offset, answer.bytes);
  free(answer.data);
  return right;
}

static bool ram_is(uint64_t offset, size_t bytes) {
  uint8_t *data = malloc(bytes);
  bool right = pread(ram, data, bytes, (off_t)offset) == (ssize_t)bytes && image_is(data, offset, bytes);
  free(data);
  return right;
}

static void holds_with(uint64_t bytes, uint64_t hidden, bool encrypted) {
  struct stat status;
  int64_t wrong;
  open_store_of(bytes, hidden, SLOTS, encrypted, 0);
  uint64_t file_bytes = bytes - hidden;
  attach();
  CHECK(fstat(ram, &status) == 0 && (uint64_t)status.st_size == file_bytes && status.st_blocks == 0);
  CHECK(fcntl(ram, F_GET_SEALS) == (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL));
  CHECK(fcntl(ram, F_GETFD) & FD_CLOEXEC);
  CHECK(!store_is_in_ram(store));
  fill();
  CHECK(store_is_in_ram(store));
  CHECK(ram_is(0, file_bytes));
  CHECK(stats().slots_free == SLOTS && stats().chunks_in_ram == served.chunks && stats().chunks_present == served.chunks);
  CHECK(read_is_right(1, 0, 100));
  CHECK(read_is_right(2, 0, STORE_MAX_READ_BYTES));
  CHECK(read_is_right(3, file_bytes - 5, 100));
  CHECK(read_is_right(4, file_bytes / 2, 3 * CHUNK));
  CHECK(store_audit(store, 0, served.chunks, &wrong) == 0 && wrong == -1);
  close_store();
}

static void holds_the_file(void) {
  holds_with(IMAGE, HIDDEN, true);
  holds_with(IMAGE, 0, true);
  holds_with(IMAGE, 4096, true);
  holds_with(IMAGE, 2 * CHUNK + 512, true); /* two chunks and a bit of a third are hidden */
  holds_with(8 * CHUNK, 512, true);
  holds_with(5 * CHUNK + 1, 512, false);
  holds_with(5 * CHUNK - 1, 0, false);
  holds_with(777, 512, false);
}

static void nothing_to_see(void) {
  open_store_of(CHUNK, CHUNK, SLOTS, false, 0);
  attach();
  fill();
  CHECK(store_is_in_ram(store));
  store_read(store, &recorder->to, 1, 0, 10);
  struct answer answer = recorder_take(recorder, 1);
  CHECK(answer.given && answer.error == 0 && answer.bytes == 0);
  free(answer.data);
  close_store();
}

static void nothing_wrong_reaches_it(void) {
  uint8_t bad[CHUNK], found[CHUNK], zeros[CHUNK] = {0};
  open_store();
  attach();
  uint32_t slot = (uint32_t)store_grant(store, 3), hedge = (uint32_t)store_spare(store);
  memcpy(bad, served.data + 3 * CHUNK, CHUNK);
  bad[BLOCK + 7] ^= 1;
  CHECK(store_write(store, slot, 0, bad, CHUNK) == 0 && store_complete(store, 3, slot) == 0);
  EXPECT(EVENT_REJECTED, 3);
  CHECK(pread(ram, found, CHUNK, 3 * CHUNK - HIDDEN) == CHUNK && memcmp(found, zeros, CHUNK) == 0);
  complete(3, slot);
  EXPECT(EVENT_KEPT, 3);
  CHECK(ram_is(3 * CHUNK - HIDDEN, CHUNK));
  /* The loser of a hedge writes on, and even completes. */
  CHECK(store_write(store, hedge, 0, bad, CHUNK) == 0 && store_complete(store, 3, hedge) == 0);
  EXPECT(EVENT_SURPLUS, 3);
  CHECK(ram_is(3 * CHUNK - HIDDEN, CHUNK));
  CHECK(stats().slots_free == SLOTS && stats().chunks_in_ram == 1);
  close_store();
}

/* A waiting read goes on when its chunk is kept, and its slot serves the next in the queue. */
static void slots_come_back(void) {
  uint32_t slots[SLOTS];
  open_store_of((uint64_t)80 * CHUNK, 0, SLOTS, true, 0);
  attach();
  for (uint32_t i = 0; i < SLOTS; i++) slots[i] = (uint32_t)store_spare(store);
  CHECK(store_drop(store, slots[0]) == 0);
  store_read(store, &recorder->to, 1, 5 * CHUNK + 3, 10);
  store_read(store, &recorder->to, 2, 9 * CHUNK + 3, 10);
  struct event five = next_event();
  CHECK(five.kind == EVENT_GRANTED && five.a == 5);
  EXPECT(EVENT_SLOTS_WANTED, 1);
  complete(5, (uint32_t)five.b);
  EXPECT(EVENT_KEPT, 5);
  struct event nine = next_event();
  CHECK(nine.kind == EVENT_GRANTED && nine.a == 9 && nine.b == five.b);
  struct answer answer = recorder_take(recorder, 1);
  CHECK(answer.given && answer.error == 0 && image_is(answer.data, 5 * CHUNK + 3, 10));
  free(answer.data);
  complete(9, (uint32_t)nine.b);
  answer = recorder_take(recorder, 2);
  CHECK(answer.given && answer.error == 0 && image_is(answer.data, 9 * CHUNK + 3, 10));
  free(answer.data);
  close_store();
}

/* A reader that is slow to take its answer: `meanwhile` happens while it holds its pins. */
struct slow_reader {
  struct reply_to to;
  void (*meanwhile)(void);
};

static void slow_reply(struct reply_to *to, uint64_t unique, int error, struct iovec *iov, int count, size_t bytes) {
  (void)unique, (void)iov, (void)count;
  CHECK(error == 0 && bytes > 0);
  ((struct slow_reader *)to)->meanwhile();
}

static void read_slowly(uint64_t offset, uint32_t bytes, void (*meanwhile)(void)) {
  struct slow_reader reader = {{slow_reply}, meanwhile};
  store_read(store, &reader.to, 1, offset, bytes);
}

static bool move(uint32_t chunk) {
  bool moved;
  CHECK(store_move_to_ram(store, chunk, &moved) == 0);
  return moved;
}

static void cannot_move_two(void) { CHECK(!move(2)); }

static void moves(void) {
  bool moved;
  open_store();
  prefetch(2, EVENT_PUBLISHED);
  CHECK(store_move_to_ram(store, 2, &moved) == ENXIO);
  attach();
  CHECK(stats().chunks_in_ram == 0 && stats().slots_free == SLOTS - 1);
  CHECK(!move(4)); /* absent */
  int64_t slot = store_grant(store, 4);
  CHECK(!move(4)); /* in flight */
  complete(4, (uint32_t)slot);
  EXPECT(EVENT_KEPT, 4);
  CHECK(move(4)); /* there already */
  read_slowly(2 * CHUNK, 10, cannot_move_two);
  CHECK(move(2));
  CHECK(ram_is(2 * CHUNK - HIDDEN, CHUNK));
  CHECK(stats().chunks_in_ram == 2 && stats().slots_free == SLOTS && stats().chunks_present == 2);
  CHECK(store_try_evict(store, 2) == EVICTED_ABSENT);
  CHECK(read_is_right(5, 2 * CHUNK - HIDDEN, CHUNK));
  close_store();
}

static void two_holders(void) {
  uint32_t holders;
  int fd;
  CHECK(store_detach_ram(store, &holders) == 0 && holders == 2);
  CHECK(store_attach_ram(store, &fd) == EBUSY);
  CHECK(stats().chunks_in_ram == 2 && stats().chunks_present == 2);
  prefetch(7, EVENT_PUBLISHED); /* new ones stay in slots again */
}

static void goes_again(void) {
  uint32_t holders;
  int fd;
  open_store();
  CHECK(store_detach_ram(store, &holders) == 0 && holders == 0);
  attach();
  CHECK(store_attach_ram(store, &fd) == EEXIST);
  for (uint32_t i = 0; i < 5; i++) prefetch(i, EVENT_KEPT);
  read_slowly(2 * CHUNK - HIDDEN, 2 * CHUNK, two_holders);
  CHECK(stats().chunks_in_ram == 0 && stats().chunks_present == 1); /* gone with their last pin */
  CHECK(fcntl(ram, F_GETFD) != -1);
  CHECK(store_detach_ram(store, &holders) == 0 && holders == 0);
  CHECK(fcntl(ram, F_GETFD) == -1);
  CHECK(stats().slots_free == SLOTS - 1);
  prefetch(2, EVENT_PUBLISHED);
  CHECK(read_is_right(9, 2 * CHUNK - HIDDEN, CHUNK));
  attach();
  prefetch(3, EVENT_KEPT);
  CHECK(move(2) && move(7));
  CHECK(read_is_right(10, 2 * CHUNK - HIDDEN, 2 * CHUNK));
  close_store();
}

static void stays_while_passed_through(void) {
  uint32_t holders;
  open_store();
  CHECK(store_begin_passthrough(store) == -1);
  attach();
  prefetch(0, EVENT_KEPT);
  CHECK(store_begin_passthrough(store) == -1); /* not whole */
  for (uint32_t chunk = 1; chunk < served.chunks; chunk++) prefetch(chunk, EVENT_KEPT);
  CHECK(store_begin_passthrough(store) == ram);
  CHECK(store_detach_ram(store, &holders) == EBUSY);
  CHECK(read_is_right(1, 5 * CHUNK, 10));
  store_end_passthrough(store);
  CHECK(store_detach_ram(store, &holders) == 0 && holders == 0);
  CHECK(store_begin_passthrough(store) == -1);
  close_store();
}

static int64_t audit(uint32_t first, uint32_t count) {
  int64_t wrong = -2;
  CHECK(store_audit(store, first, count, &wrong) == 0);
  return wrong;
}

static void flip(uint64_t offset) {
  uint8_t byte;
  CHECK(pread(ram, &byte, 1, (off_t)offset) == 1);
  byte ^= 0x10;
  CHECK(pwrite(ram, &byte, 1, (off_t)offset) == 1);
}

static void audits(void) {
  open_store();
  uint32_t chunks = served.chunks;
  CHECK(audit(3, 2) == 3); /* no RAM file */
  CHECK(audit(3, 0) == -1);
  prefetch(6, EVENT_PUBLISHED);
  attach();
  for (uint32_t chunk = 0; chunk < chunks; chunk++)
    if (chunk != 6) prefetch(chunk, EVENT_KEPT);
  CHECK(audit(0, chunks) == 6); /* in a slot */
  CHECK(audit(0, 6) == -1 && audit(7, chunks - 7) == -1);
  CHECK(move(6) && audit(0, chunks) == -1);
  static const uint64_t places[] = {0, CHUNK - HIDDEN - 1, CHUNK - HIDDEN, 6 * CHUNK + 100, IMAGE - HIDDEN - 1};
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    flip(places[i]);
    CHECK(audit(0, chunks) == (int64_t)((places[i] + HIDDEN) / CHUNK));
    flip(places[i]);
    CHECK(audit(0, chunks) == -1);
  }
  store->ram.image[HIDDEN - 1] ^= 1; /* what readers do not see is part of what was served */
  CHECK(audit(0, 1) == 0 && audit(1, chunks - 1) == -1);
  store->ram.image[HIDDEN - 1] ^= 1;
  CHECK(audit(0, chunks) == -1);
  close_store();
}

static bool trace_is(const uint32_t *expected, size_t count) {
  uint32_t found[16];
  return store_get_trace(store, found, 16) == count && stats().chunks_traced == count &&
         memcmp(found, expected, count * sizeof *expected) == 0;
}

static void traces(void) {
  open_store_of(IMAGE, 0, SLOTS, true, 4);
  prefetch(5, EVENT_PUBLISHED);
  prefetch(1, EVENT_PUBLISHED);
  prefetch(2, EVENT_PUBLISHED);
  CHECK(trace_is((const uint32_t[]){0}, 0)); /* what nobody read */
  CHECK(read_is_right(1, 5 * CHUNK, 10));
  store_read(store, &recorder->to, 2, 3 * CHUNK, 10); /* waits, and counts all the same */
  CHECK(trace_is((const uint32_t[]){5, 3}, 2));
  CHECK(read_is_right(3, 2 * CHUNK - 5, 10));
  CHECK(trace_is((const uint32_t[]){5, 3, 1, 2}, 4));
  struct event three = next_event();
  CHECK(three.kind == EVENT_GRANTED && three.a == 3);
  complete(3, (uint32_t)three.b);
  EXPECT(EVENT_PUBLISHED, 3);
  struct answer answer = recorder_take(recorder, 2);
  free(answer.data);
  while (store_try_evict(store, 5) != EVICTED_YES) usleep(100);
  prefetch(5, EVENT_PUBLISHED);
  CHECK(read_is_right(4, 5 * CHUNK, 10));
  store_read(store, &recorder->to, 5, 8 * CHUNK, 10); /* past the limit */
  CHECK(trace_is((const uint32_t[]){5, 3, 1, 2}, 4));
  close_store();

  open_store_of(IMAGE, 0, SLOTS, true, 1000); /* more than there are chunks */
  prefetch(5, EVENT_PUBLISHED);
  prefetch(4, EVENT_PUBLISHED);
  CHECK(read_is_right(1, 5 * CHUNK, 10));
  uint32_t part;
  CHECK(store_get_trace(store, &part, 0) == 1);
  store_end_trace(store);
  CHECK(read_is_right(2, 4 * CHUNK, 10));
  CHECK(trace_is((const uint32_t[]){5}, 1));
  close_store();
}

static int64_t arena_blocks(void) {
  struct stat status;
  CHECK(fstat(store->arena.fd, &status) == 0);
  return status.st_blocks * 512 / CHUNK;
}

static void trims(void) {
  uint32_t slots[SLOTS];
  bool taken[SLOTS] = {false};
  open_store();
  prefetch(3, EVENT_PUBLISHED);
  prefetch(4, EVENT_PUBLISHED);
  for (uint32_t i = 0; i < SLOTS - 2; i++) {
    slots[i] = (uint32_t)store_spare(store);
    CHECK(store_write(store, slots[i], 0, served.data, CHUNK) == 0);
  }
  CHECK(arena_blocks() == SLOTS);
  for (uint32_t i = 0; i < SLOTS - 2; i++)
    if (i % 5 != 0) CHECK(store_drop(store, slots[i]) == 0);
  uint64_t free_before = stats().slots_free;
  CHECK(store_trim(store) == 0);
  CHECK(stats().slots_free == free_before && arena_blocks() == (int64_t)(SLOTS - free_before));
  CHECK(read_is_right(1, 3 * CHUNK - HIDDEN, 2 * CHUNK)); /* what is in use stays */
  /* Every slot is there once. */
  for (uint64_t i = 0; i < free_before; i++) {
    int64_t slot = store_spare(store);
    CHECK(slot >= 0 && !taken[slot]);
    if (slot >= 0) taken[slot] = true;
  }
  CHECK(store_spare(store) == GRANT_NO_SLOT);
  CHECK(store_trim(store) == 0); /* nothing is free */
  close_store();
}

int main(void) {
  TEST(holds_the_file, "the RAM file is the file that readers see, whatever is hidden and however odd the sizes");
  TEST(nothing_to_see, "an image without a visible byte has an empty RAM file");
  TEST(nothing_wrong_reaches_it, "rejected chunks and losers of hedges never reach the RAM file");
  TEST(slots_come_back, "the slot of a kept chunk goes to the next read in the queue");
  TEST(moves, "a chunk moves from its slot when nobody has it pinned, and is not evicted any more");
  TEST(goes_again, "the RAM file goes when its last reader does, and can come again");
  TEST(stays_while_passed_through, "the kernel gets a whole RAM file only, and keeps it");
  TEST(audits, "an audit finds a flipped bit and a chunk that is not there");
  TEST(traces, "the trace has the first touches in order, up to its limit");
  TEST(trims, "trimming gives back the memory of free slots, and of no other");
  DONE();
}
