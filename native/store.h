/*
 * The store: which chunks of the image lie in the arena, which are on their way, and which reads wait for them. Reads
 * come in on session threads (store_read), chunks come in on one controlling thread (TypeScript's, all functions under
 * "Controlling thread"), and a finisher thread of the store's own verifies and decrypts between the two. What the
 * controlling thread has to know is told by events. The contract of each function is that of src/native/binding.ts.
 * Knows neither Node.js nor the FUSE protocol, so that tests drive it alone.
 */
#ifndef TETHERFS_STORE_H
#define TETHERFS_STORE_H

#include "events.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* The greatest read that is answered. The session tells the kernel (max_pages, max_read). */
#define STORE_MAX_READ_BYTES (1u << 20)
#define STORE_MIN_CHUNK_BYTES 4096u
#define STORE_MAX_CHUNK_BYTES (1u << 20)

struct store;

/*
 * Where an answer goes: embedded in the reader's channel, which must outlive the store's last thread. `error` is 0 or a
 * positive errno; on success the `bytes` bytes are in iov[1 .. count-1], and iov[0] is free for a header. Called without
 * any lock, from any thread.
 */
struct reply_to {
  void (*reply)(struct reply_to *to, uint64_t unique, int error, struct iovec *iov, int count, size_t bytes);
};

/* The memory of a process that is no more, or has frozen: its descriptors. */
struct store_adoption {
  int arena, ledger, ram; /* ram -1: none */
};

struct store_options {
  uint64_t image_bytes;
  uint64_t hidden_bytes;
  uint32_t chunk_bytes;
  uint32_t slots;
  const uint8_t *xts_key; /* NULL: not encrypted */
  size_t xts_key_bytes;
  const uint8_t *leaves; /* NULL: not verified */
  size_t leaf_count;
  uint32_t block_bytes;
  const uint8_t *salt;
  size_t salt_bytes;
  uint32_t trace_limit; /* how many chunks the trace holds at most */
  const struct store_adoption *adopt; /* NULL: memory of its own. The descriptors are the store's, also when it fails. */
  void (*ring)(void *listener); /* events can be taken; from any thread, without a lock */
  void *listener;
};

/* Instead of EINVAL: what is to be adopted does not fit the other options. */
#define STORE_NOT_FITTING EBADMSG

/* 0; EINVAL or STORE_NOT_FITTING with the reason in *why (a constant string); or the errno of a system call. */
int store_create(struct store **out, const struct store_options *options, const char **why);

/* Answers every waiting read with EIO and ends the finisher. Reads that come later get EIO as well. Idempotent. */
void store_close(struct store *store);

/*
 * From its return on nothing changes any more: see freeze() of the contract. Settled answers are written before. Controlling thread;
 * no session thread may be running. store_close then answers nobody.
 */
void store_freeze(struct store *store);

/* After store_close, and when no thread can call store_read any more. */
void store_destroy(struct store *store);

uint64_t store_file_bytes(const struct store *store);

/* What readers see is in clear, and nobody else's. */
bool store_decrypts(const struct store *store);

/* ---- Session threads ---- */

/* Answers through `to`, now or later. Offset and size are those of the file, as the kernel sent them. */
void store_read(struct store *store, struct reply_to *to, uint64_t unique, uint64_t offset, uint32_t bytes);

/* The reader has given up: its waiting read is answered with EINTR. Remembered for a read that is still to come. */
void store_interrupt(struct store *store, uint64_t unique);

/* Answers all waiting reads with `error`: the session is over. */
void store_cancel_reads(struct store *store, int error);

/*
 * The RAM file's descriptor for the kernel to read from by itself, if the whole image is in it, else -1. It stays until
 * the end of the store, or of passing through when the kernel did not take it.
 */
int store_begin_passthrough(struct store *store);
/* The kernel does so already, for a session that is adopted: its RAM file stays, if there is one. */
void store_adopt_passthrough(struct store *store);
void store_end_passthrough(struct store *store);

/* An event that does not come from the store itself. */
void store_post(struct store *store, enum event_kind kind, uint32_t a);

/* ---- Controlling thread ---- */

enum { GRANT_NO_SLOT = -1, GRANT_NOT_ABSENT = -2 };
enum evicted { EVICTED_YES = 0, EVICTED_PINNED = 1, EVICTED_REFERENCED = 2, EVICTED_ABSENT = 3 };

size_t store_take_events(struct store *store, struct event *out, size_t room);
/* The listener failed before it had taken everything: ring again at the next event. */
void store_listen_again(struct store *store);

/* Chunk and slot numbers are checked: functions that return int give EINVAL for one that is not theirs to use. */
bool store_has_chunk(const struct store *store, uint64_t chunk);
int64_t store_grant(struct store *store, uint32_t chunk);
int64_t store_spare(struct store *store);
int store_write(struct store *store, uint32_t slot, uint64_t offset, const void *bytes, size_t count);
int store_complete(struct store *store, uint32_t chunk, uint32_t slot);
int store_drop(struct store *store, uint32_t slot);
bool store_release(struct store *store, uint32_t chunk);
void store_fail(struct store *store, uint32_t chunk, int error);
void store_mark(struct store *store, uint32_t chunk);
enum evicted store_try_evict(struct store *store, uint32_t chunk);

/* Gives the pages of free slots back to the system. 0 or an errno. */
int store_trim(struct store *store);

/* The trace, at most `room` chunks of it: how many it has. */
size_t store_get_trace(struct store *store, uint32_t *out, size_t room);
void store_end_trace(struct store *store);

/* 0, and the RAM file's descriptor, which stays the store's; EEXIST, EBUSY while one is going; or another errno. */
int store_attach_ram(struct store *store, int *fd);
/* 0; ENXIO when there is no RAM file; or the errno with which it took no bytes. */
int store_move_to_ram(struct store *store, uint32_t chunk, bool *moved);
/* 0, and how many chunks and threads still hold the RAM file; EBUSY while the kernel reads from it by itself. */
int store_detach_ram(struct store *store, uint32_t *holders);
/* Whether all of the image is in the RAM file. */
bool store_is_in_ram(struct store *store);

/* What was adopted: chunks in slots first, then those in the RAM file. Never changes. */
struct store_adopted {
  const uint32_t *chunks;
  uint32_t in_slots, in_ram;
};
struct store_adopted store_get_adopted(const struct store *store);

/* The store's own descriptors; ram -1: there is none. */
struct store_adoption store_descriptors(const struct store *store);

struct store_stats {
  uint64_t reads_cached, reads_waited, reads_failed, reads_interrupted, bytes_read;
  uint64_t reads_waiting;
  double oldest_wait_ms, longest_wait_ms;
  uint64_t slots_total, slots_free;
  uint64_t chunks_present, chunks_in_flight, chunks_published, chunks_rejected, chunks_evicted;
  uint64_t chunks_prefetched, chunks_prefetched_read;
  uint64_t chunks_in_ram, chunks_traced, chunks_not_adopted;
};

void store_get_stats(struct store *store, struct store_stats *out);

/* ---- Any thread ---- */

/*
 * Compares chunks in the RAM file with their leaves: the first that is wrong or not there, or -1. 0, or the errno because
 * of which it could not be told. The store must outlive it.
 */
int store_audit(struct store *store, uint32_t first, uint32_t count, int64_t *wrong);

#endif
