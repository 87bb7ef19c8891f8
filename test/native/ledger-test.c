/*
 * The CRC and the ledger: what a successor takes over of a store that was killed, frozen, or tampered with. No kernel mount.
 * With the argument "speed": what a CRC costs.
 */
#include "check.h"
#include "crc32c.h"
#include "memfd.h"
#include "recorder.h"
#include "served.h"
#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 65536, SLOTS = 24, BLOCK = 4096 };
#define IMAGE ((uint64_t)40 * CHUNK + 3 * 4096 + 512)
#define HIDDEN 4608u

static struct served served;
static struct store *store;

static void ring(void *listener) { (void)listener; }

static int create(const struct store_adoption *adopt, uint32_t slots, const char **why) {
  struct store_options options;
  served_options(&served, slots, &options);
  options.ring = ring;
  options.adopt = adopt;
  *why = NULL;
  return store_create(&store, &options, why);
}

static void open_store(const struct store_adoption *adopt) {
  const char *why;
  CHECK(create(adopt, SLOTS, &why) == 0);
}

static void close_store(void) {
  store_close(store);
  store_destroy(store);
}

static struct store_stats stats(void) {
  struct store_stats stats;
  store_get_stats(store, &stats);
  return stats;
}

static struct store_adoption copies(void) {
  struct store_adoption own = store_descriptors(store);
  return (struct store_adoption){dup(own.arena), dup(own.ledger), own.ram < 0 ? -1 : dup(own.ram)};
}

static bool fetch(uint32_t chunk) {
  struct event event = {0, 0, 0};
  int64_t slot = store_grant(store, chunk);
  if (slot < 0) return false;
  CHECK(store_write(store, (uint32_t)slot, 0, served.data + (uint64_t)chunk * CHUNK, CHUNK) == 0);
  CHECK(store_complete(store, chunk, (uint32_t)slot) == 0);
  for (int i = 0; i < 50000 && event.kind != EVENT_PUBLISHED && event.kind != EVENT_KEPT; i++)
    if (store_take_events(store, &event, 1) == 0) usleep(100);
  return event.a == (int)chunk;
}

/* Every chunk that is present holds what a reader is to see. */
static bool all_present_are_right(void) {
  struct recorder *recorder = malloc(sizeof *recorder);
  bool right = true;
  recorder_init(recorder);
  for (uint32_t number = 0; number < served.chunks; number++) {
    uint64_t start = (uint64_t)number * CHUNK, from = start < HIDDEN ? 0 : start - HIDDEN;
    if (store->chunks[number].state != CHUNK_PRESENT) continue;
    store_read(store, &recorder->to, number + 1, from, 4096);
    struct answer answer = recorder_take(recorder, number + 1);
    if (!answer.given || answer.error != 0 || !image_is(answer.data, from, answer.bytes)) right = false;
    free(answer.data);
  }
  recorder_destroy(recorder);
  free(recorder);
  return right;
}

static int open_descriptors(void) {
  int count = 0;
  for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

/* ---- Tests ---- */

static void crc(void) {
  static uint8_t data[3 * 4096 * 3 + 77];
  memset(data, 0, 32);
  CHECK(crc32c(0, data, 32) == 0x8a9136aau); /* RFC 3720, B.4 */
  memset(data, 0xff, 32);
  CHECK(crc32c(0, data, 32) == 0x62a8ab43u);
  CHECK(crc32c(0, "123456789", 9) == 0xe3069283u);
  image_fill(data, 0, sizeof data);
  for (size_t from = 0; from < 70; from += 7)
    for (size_t bytes = 0; bytes < sizeof data - from; bytes += 1 + bytes / 3)
      CHECK(crc32c(5, data + from, bytes) == crc32c_by_tables(5, data + from, bytes));
  CHECK(crc32c(crc32c(0, data, 1001), data + 1001, 20000) == crc32c(0, data, 21001));
}

static void frozen_is_adopted(void) {
  open_store(NULL);
  for (uint32_t chunk = 3; chunk < 13; chunk++) CHECK(fetch(chunk));
  CHECK(fetch(served.chunks - 1)); /* shorter than a slot */
  CHECK(store_try_evict(store, 5) == EVICTED_YES);
  CHECK(store_grant(store, 20) >= 0);
  store_freeze(store);
  struct store_adoption memory = copies();
  struct store *old = store;
  uint8_t *before = malloc((size_t)SLOTS * CHUNK);
  memcpy(before, old->arena.base, (size_t)SLOTS * CHUNK);
  /* Nothing has an effect any more. */
  struct event event;
  uint32_t holders;
  int ram;
  bool moved;
  CHECK(store_grant(old, 21) == GRANT_NO_SLOT && store_grant(old, 3) == GRANT_NO_SLOT && store_spare(old) == GRANT_NO_SLOT);
  CHECK(store_write(old, 0, 0, "x", 1) == 0 && store_complete(old, 20, 0) == 0 && store_drop(old, 0) == 0);
  CHECK(store_try_evict(old, 3) == EVICTED_PINNED && store_take_events(old, &event, 1) == 0);
  CHECK(store_attach_ram(old, &ram) == EBADF && store_detach_ram(old, &holders) == EBUSY && store_trim(old) == 0);
  CHECK(store_move_to_ram(old, 3, &moved) == 0 && !moved && !store_release(old, 20));
  store_fail(old, 20, EIO);
  store_close(old);
  CHECK(memcmp(before, old->arena.base, (size_t)SLOTS * CHUNK) == 0);
  free(before);

  open_store(&memory);
  struct store_adopted adopted = store_get_adopted(store);
  CHECK(adopted.in_slots == 10 && adopted.in_ram == 0);
  for (uint32_t i = 0; i < adopted.in_slots; i++) CHECK(adopted.chunks[i] != 5 && adopted.chunks[i] != 20);
  CHECK(stats().chunks_present == 10 && stats().slots_free == SLOTS - 10 && stats().chunks_not_adopted == 0);
  CHECK(all_present_are_right());
  store_destroy(old);
  CHECK(all_present_are_right());
  for (uint32_t chunk = 13; chunk < 27; chunk++) CHECK(fetch(chunk));
  CHECK(!fetch(27)); /* all slots are in use, each by one chunk */
  CHECK(all_present_are_right());
  close_store();
}

static void ram_file_is_adopted(void) {
  int ram, other;
  bool moved;
  int64_t wrong;
  open_store(NULL);
  CHECK(fetch(0) && fetch(1) && fetch(2));
  CHECK(store_attach_ram(store, &ram) == 0);
  for (uint32_t chunk = 3; chunk < served.chunks; chunk++) CHECK(fetch(chunk));
  CHECK(store_move_to_ram(store, 0, &moved) == 0 && moved);
  CHECK(store_move_to_ram(store, 1, &moved) == 0 && moved);
  store_freeze(store);
  struct store_adoption memory = copies(), again = copies();
  close_store();
  open_store(&memory);
  CHECK(store_get_adopted(store).in_slots == 1 && store_get_adopted(store).in_ram == served.chunks - 1);
  CHECK(store_get_adopted(store).chunks[0] == 2 && store_get_adopted(store).chunks[1] == 0);
  CHECK(store_attach_ram(store, &other) == EEXIST);
  CHECK(store_move_to_ram(store, 2, &moved) == 0 && moved && store_is_in_ram(store));
  /* The audit sees the hidden bytes too. */
  CHECK(store_audit(store, 0, served.chunks, &wrong) == 0 && wrong == -1);
  CHECK(all_present_are_right());
  store_freeze(store);
  close_store();
  /* Another memfd of that size is not the RAM file. */
  close(again.ram);
  CHECK(memfd_of_size("other", IMAGE - HIDDEN, &again.ram) == 0);
  open_store(&again);
  CHECK(stats().chunks_in_ram == 0 && stats().chunks_present == 0 && store_get_adopted(store).in_ram == 0);
  CHECK(store_attach_ram(store, &ram) == 0);
  close_store();
}

static void not_fitting(void) {
  const char *why;
  int open_before = open_descriptors();
  open_store(NULL);
  CHECK(fetch(1));
  struct store *old = store;
  struct store_adoption memory = copies();
  CHECK(create(&memory, SLOTS + 1, &why) == STORE_NOT_FITTING && why != NULL);
  store = old;
  memory = copies();
  close(memory.ledger);
  memory.ledger = dup(memory.arena);
  CHECK(create(&memory, SLOTS, &why) == STORE_NOT_FITTING && why != NULL);
  store = old;
  memory = copies();
  close(memory.arena);
  memory.arena = open("/dev/null", O_RDWR);
  CHECK(create(&memory, SLOTS, &why) == STORE_NOT_FITTING && why != NULL);
  store = old;
  memory = copies();
  served.bytes -= 512; /* another image */
  served.leaf_count--;
  CHECK(create(&memory, SLOTS, &why) == STORE_NOT_FITTING && why != NULL);
  served.bytes += 512;
  served.leaf_count++;
  store = old;
  store->ledger.header->version++;
  memory = copies();
  CHECK(create(&memory, SLOTS, &why) == STORE_NOT_FITTING && why != NULL);
  store = old;
  close_store();
  CHECK(open_descriptors() == open_before);
}

/* Anything may stand in the ledger, and any byte of the arena may have changed. */
static void tampered(void) {
  uint64_t random = 0x9e3779b97f4a7c15ULL;
  for (int round = 0; round < 60; round++) {
    int ram;
    open_store(NULL);
    for (uint32_t chunk = 0; chunk < 12; chunk++) CHECK(fetch(chunk));
    if (round & 1) CHECK(store_attach_ram(store, &ram) == 0 && fetch(20) && fetch(21));
    store_freeze(store);
    struct ledger *ledger = &store->ledger;
    uint32_t spoiled = 0;
    for (uint32_t i = 0; i < 40; i++) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      uint32_t slot = (uint32_t)(random >> 33) % SLOTS, what = (uint32_t)(random >> 20) % 5;
      if (what == 0) ledger->entries[slot] = random;
      if (what == 1) ledger->entries[slot] = (ledger->entries[slot] & ~0xffffffffULL) | (random >> 40) % served.chunks;
      if (what == 2) ledger->entries[slot] = ledger->entries[(slot + 7) % SLOTS];
      if (what == 3) ledger->marks[(random >> 40) % served.chunks] = (uint8_t)(random >> 50 | 2);
      if (what == 4 && spoiled++ < 3) store->arena.base[(size_t)slot * CHUNK + (random >> 40) % CHUNK] ^= 1;
    }
    struct store_adoption memory = copies();
    close_store();
    open_store(&memory);
    CHECK(stats().chunks_not_adopted > 0);
    CHECK(stats().chunks_present <= 14 && all_present_are_right());
    CHECK(stats().slots_free + stats().chunks_present - stats().chunks_in_ram == SLOTS);
    close_store();
  }
}

/* A child that fetches, evicts and moves as fast as it can is killed at whatever instruction it is. */
static void work_until_killed(int ready) {
  uint64_t random = (uint64_t)getpid();
  int ram;
  CHECK(store_attach_ram(store, &ram) == 0 && write(ready, &ram, sizeof ram) == sizeof ram);
  struct event events[8];
  for (;;) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    uint32_t chunk = (uint32_t)(random >> 33) % served.chunks, other = (uint32_t)(random >> 13) % served.chunks;
    uint32_t holders;
    bool moved;
    int64_t slot = store_grant(store, chunk);
    if (slot >= 0) {
      store_write(store, (uint32_t)slot, 0, served.data + (uint64_t)chunk * CHUNK, CHUNK);
      store_complete(store, chunk, (uint32_t)slot);
    }
    if (random % 64 == 1) store_try_evict(store, other);
    if (random % 16 == 2) store_move_to_ram(store, other, &moved);
    if (random % 4096 == 3) store_detach_ram(store, &holders); /* and never again: only then do chunks go to slots */
    while (store_take_events(store, events, 8) > 0) continue;
  }
}

static void killed_anywhere(void) {
  uint64_t adopted = 0, wrong_slots = 0;
  for (int round = 0; round < 40; round++) {
    /* Made before the fork: the memory survives in our descriptors. */
    struct store_adoption memory = {-1, -1, -1};
    int pair[2], ram = -1;
    struct ledger_shape shape;
    struct ledger ledger;
    CHECK(pipe(pair) == 0);
    CHECK(memfd_of_size("arena", (uint64_t)SLOTS * CHUNK, &memory.arena) == 0);
    struct store fake = {.image_bytes = IMAGE, .hidden_bytes = HIDDEN, .chunk_bytes = CHUNK, .chunk_count = served.chunks};
    shape = store_ledger_shape(&fake, SLOTS);
    CHECK(ledger_create(&ledger, &shape) == 0);
    memory.ledger = dup(ledger.fd);
    ledger_close(&ledger);
    pid_t child = fork();
    if (child == 0) {
      open_store(&memory);
      work_until_killed(pair[1]);
    }
    CHECK(read(pair[0], &ram, sizeof ram) == sizeof ram);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)child, ram);
    memory.ram = open(path, O_RDWR | O_CLOEXEC); /* may be gone by now */
    usleep(1000 + (unsigned)(round * 7919 % 30000));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(pair[0]);
    close(pair[1]);
    open_store(&memory);
    /* What is valid in the ledger is right at every instant: no entry is found wrong. */
    wrong_slots += stats().chunks_not_adopted;
    adopted += stats().chunks_present;
    CHECK(all_present_are_right());
    close_store();
  }
  CHECK(wrong_slots == 0);
  CHECK(adopted > 40);
}

static void memfds(void) {
  int fd;
  size_t bytes;
  char text[16] = "";
  CHECK(memfd_of_bytes("state", "{\"a\":1}", 7, &fd) == 0);
  CHECK(memfd_sealed_bytes(fd, 100, &bytes) == 0 && bytes == 7 && memfd_read(fd, text, 7) == 0 && strcmp(text, "{\"a\":1}") == 0);
  CHECK(memfd_sealed_bytes(fd, 6, &bytes) == EFBIG);
  CHECK(pwrite(fd, "x", 1, 0) < 0 && errno == EPERM);
  CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  close(fd);
  CHECK(memfd_of_size("open", 4096, &fd) == 0);
  CHECK(memfd_sealed_bytes(fd, 8192, &bytes) == EINVAL && memfd_has_size(fd, 4096) == 0 && memfd_has_size(fd, 8192) == EINVAL);
  close(fd);
}

static double microseconds(uint32_t (*function)(uint32_t, const void *, size_t), const void *data) {
  struct timespec from, to;
  enum { ROUNDS = 4000 };
  uint32_t sum = 0;
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (int i = 0; i < ROUNDS; i++) sum = function(sum, data, CHUNK);
  clock_gettime(CLOCK_MONOTONIC, &to);
  return ((double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3) / ROUNDS;
}

int main(int count, char **arguments) {
  served_make(&served, IMAGE, HIDDEN, CHUNK, BLOCK);
  if (count > 1 && strcmp(arguments[1], "speed") == 0) {
    printf("64 KiB: %.1f µs, by tables %.1f µs\n", microseconds(crc32c, served.data), microseconds(crc32c_by_tables, served.data));
    served_free(&served);
    return 0;
  }
  TEST(crc, "CRC-32C agrees with RFC 3720, by instruction and by tables, whole and in parts");
  TEST(memfds, "what is sealed cannot change, and what can is refused");
  TEST(frozen_is_adopted, "a frozen store changes no more; its successor has exactly its chunks");
  TEST(ram_file_is_adopted, "the RAM file is adopted, hidden bytes and all; another file in its place is not");
  TEST(not_fitting, "memory of other sizes, versions and kinds is refused with a reason, and nothing leaks");
  TEST(tampered, "whatever the ledger says, what is adopted is right");
  TEST(killed_anywhere, "killed at any moment, a store leaves a ledger without a wrong entry");
  served_free(&served);
  DONE();
}
