/*
 * What the files of the store share: its tables and its one lock. store.c and ram.c hold the controlling thread's side,
 * reads.c the readers' side, finisher.c what lies between, audit.c what looks at the RAM file afterwards, adopt.c what takes over the memory of a
 * process before us.
 */
#ifndef TETHERFS_STORE_INTERNAL_H
#define TETHERFS_STORE_INTERNAL_H

#include "arena.h"
#include "ledger.h"
#include "ram_file.h"
#include "store.h"
#include "trace.h"
#include "verity.h"
#include "xts.h"

#include <pthread.h>
#include <sys/queue.h>

/* In place of a slot: the chunk lies in the RAM file. */
#define IN_RAM UINT32_MAX

/* Interrupts that came before their read: at most one read a session thread is on its way, the rest are stale. */
#define EARLY_INTERRUPTS 256

enum chunk_state { CHUNK_ABSENT, CHUNK_IN_FLIGHT, CHUNK_PRESENT };

enum chunk_flag {
  CHUNK_REFERENCED = 1, /* read since it was published or last refused to be evicted */
  CHUNK_MARKED = 2,     /* the next read is to be told */
  CHUNK_DEMANDED = 4,   /* in flight, and a reader waits or has waited for it */
  CHUNK_PREFETCHED = 8, /* published before any reader asked, and not read yet */
};

enum slot_owner { SLOT_FREE, SLOT_CONTROLLER, SLOT_FINISHER, SLOT_CHUNK, SLOT_TRIMMED };

enum wait_kind { WAIT_NOTHING, WAIT_PINNED, WAIT_JOINED };

/* One chunk of one waiting read. */
struct wait {
  LIST_ENTRY(wait) of_chunk;
  struct read *read;
  uint32_t chunk;
  enum wait_kind kind;
};

struct chunk {
  LIST_HEAD(, wait) waiters; /* empty unless in flight */
  uint32_t slot;             /* while present: where it lies, maybe IN_RAM; changes only while nobody has it pinned */
  uint32_t pins;
  uint32_t refused_in; /* the shortage during which it could not be evicted for its pins, see reads.c */
  uint8_t state;
  uint8_t flags;
};

/*
 * A read that could not be answered on arrival. It is in `reads` until its answer is settled, then in `ready` until the
 * answer is written; before its admission it is in `queue` too, and holds nothing.
 */
struct read {
  TAILQ_ENTRY(read) arrival;
  TAILQ_ENTRY(read) turn;
  struct reply_to *to;
  uint64_t unique;
  uint64_t offset; /* in the image */
  uint32_t bytes;
  uint32_t first, count; /* chunks */
  uint32_t missing;
  bool queued;
  int error;
  int64_t since_ns;
  struct wait waits[];
};

struct job {
  uint32_t chunk, slot;
};

TAILQ_HEAD(read_list, read);

struct store {
  /* Set once, at creation. */
  uint64_t image_bytes, hidden_bytes;
  uint32_t chunk_bytes, chunk_shift, block_shift, chunk_count;
  void (*ring)(void *);
  void *listener;
  /* The finisher's own. */
  struct verity *verity;
  struct xts *xts;
  struct xts *encrypt; /* a pattern to copy, for audits */
  pthread_t finisher;
  bool finisher_runs; /* the controlling thread's own */
  struct store_adopted adopted;

  /*
   * Guards everything below, and the arena's free list (not its bytes: a slot's bytes belong to whoever owns the slot,
   * and a pinned chunk's are read-only). Held for table work only: never across a system call, a hash or a copy.
   */
  pthread_mutex_t lock;
  pthread_cond_t work; /* the finisher waits here for jobs, ready answers, or the end */
  bool closed;
  bool freezing; /* the finisher is to end */
  bool frozen;   /* nothing is to change any more, see store_freeze */
  struct ledger ledger; /* its entries and marks are kept in step with the tables below */
  struct arena arena;
  uint8_t *slot_owner; /* enum slot_owner */
  struct chunk *chunks;
  struct trace trace;

  /*
   * The RAM file. Comes and goes on the controlling thread; it goes when no chunk in it is pinned and nobody is at work
   * with its bytes, so that whoever has a pin, or counts as a worker, may use it without the lock.
   */
  struct ram_file ram;
  bool ram_attached; /* it takes new chunks; false also while it waits to go */
  bool ram_leaving;  /* it waits to go: a chunk in it is absent as soon as nobody has it pinned */
  bool ram_passed;   /* the kernel reads from it by itself */
  uint32_t ram_workers;

  struct read_list reads; /* all that wait, in order of arrival */
  struct read_list queue; /* those not admitted yet, in order of arrival */
  struct read_list ready; /* settled, to be written by whoever leaves the lock next and may block */
  uint32_t shortage;      /* not 0 while the queue's head lacks slots: the number of this shortage */
  uint32_t shortages;
  bool slots_wanted; /* a slotsWanted event is due; its number is worked out when it is taken */
  uint64_t early_interrupts[EARLY_INTERRUPTS];
  uint32_t early_count;

  struct job *jobs; /* ring of as many jobs as there are slots: a slot is in one job at most */
  uint32_t job_head, job_count;

  struct event_queue events;
  struct store_stats stats; /* what is not counted elsewhere */
};

/* Releases the lock, and rings for events that were posted under it. */
void store_unlock(struct store *store);

/* The lock is held for all that follow. */

/* A slot that nobody needs any more: its entry in the ledger goes first. The caller admits afterwards. */
void store_free_slot(struct store *store, uint32_t slot);

/* A pinned chunk may have become evictable: say so if the queue's head lacks slots. */
void store_maybe_evictable(struct store *store);

/* How many slots the queue's head lacks; 0 when it lacks none or there is none. */
uint32_t store_slots_lacking(const struct store *store);

/* Makes an unpinned chunk in the RAM file absent. */
void store_drop_from_ram(struct store *store, struct chunk *chunk);

/* Admits reads from the queue's head while their slots can be had. */
void store_admit(struct store *store);

/* Settles a waiting read with an error: gives up all that it holds. The caller admits if it was queued. */
void store_settle_error(struct store *store, struct read *read, int error);

/* An in-flight chunk has become present: joins end. */
void store_wake_waiters(struct store *store, struct chunk *chunk);

/* Writes all settled answers. Leaves the lock meanwhile, and holds it again when it returns. */
void store_write_answers(struct store *store);

/* For the controlling thread, which does not write answers itself: hands them to the finisher. */
void store_pass_answers(struct store *store);

int64_t store_now_ns(void);

/* Without the lock. */

/* Where the bytes of a present chunk lie, the part after hiddenBytes as readers see it. The caller has it pinned. */
static inline const uint8_t *store_chunk_bytes(const struct store *store, uint32_t number) {
  uint32_t slot = store->chunks[number].slot;
  if (slot == IN_RAM) return ram_file_at(&store->ram, (uint64_t)number << store->chunk_shift);
  return arena_slot(&store->arena, slot);
}

/* Bytes of the image in a chunk: fewer than a whole chunk in the last one. */
static inline size_t store_chunk_length(const struct store *store, uint32_t number) {
  uint64_t left = store->image_bytes - ((uint64_t)number << store->chunk_shift);
  return left < store->chunk_bytes ? (size_t)left : store->chunk_bytes;
}

/* Copies a chunk, verified and decrypted, from a slot to its place in the RAM file. 0 or an errno. */
int store_copy_to_ram(const struct store *store, uint32_t number, uint32_t slot);

/* Lets the RAM file go as far as can be: how many chunks and workers still hold it. Controlling thread. */
uint32_t store_let_ram_go(struct store *store);

void *store_finisher_main(void *store);

/* Where the RAM file's hidden bytes lie. */
static inline struct ram_head store_ram_head(const struct store *store) {
  return (struct ram_head){store->ledger.fd, store->ledger.head_offset};
}

struct ledger_shape store_ledger_shape(const struct store *store, uint32_t slots);

/*
 * Opens arena and ledger, and the RAM file if there is one, with the descriptors given, and makes present what is right in them. Those that
 * it has taken are set to -1 in *from. Before any other thread runs. As store_create returns.
 */
int store_adopt(struct store *store, struct store_adoption *from, uint32_t slots, const char **why);

#endif
