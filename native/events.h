/*
 * What the store has to say to TypeScript: a queue of triples of 32-bit integers, and a bell that rings once when the
 * queue stops being empty. How many events can be queued follows from the number of slots (each needs a slot or a chunk
 * in the arena), so the ring is allocated once; it can grow all the same. Not thread-safe: the store's lock covers it.
 */
#ifndef TETHERFS_EVENTS_H
#define TETHERFS_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are those of StoreEvent in src/native/binding.ts. */
enum event_kind {
  EVENT_GRANTED = 1,
  EVENT_PROMOTED = 2,
  EVENT_PUBLISHED = 3,
  EVENT_SURPLUS = 4,
  EVENT_REJECTED = 5,
  EVENT_SLOTS_WANTED = 6,
  EVENT_TOUCHED = 7,
  EVENT_SESSION_ENDED = 8,
  EVENT_KEPT = 9,
};

struct event {
  int32_t kind, a, b;
};

struct event_queue {
  struct event *ring;
  size_t capacity, head, count;
  bool listening; /* the listener has seen the queue empty: the next event rings */
  bool ring_bell; /* whoever releases the lock rings */
};

int events_init(struct event_queue *queue, size_t capacity);
void events_destroy(struct event_queue *queue);

/* Never loses one: without memory for it the process aborts, because some reader would wait for ever. */
void events_post(struct event_queue *queue, enum event_kind kind, uint32_t a, uint32_t b);

/* The next thing to take is ready although it is not in the ring: ring for it. */
void events_nudge(struct event_queue *queue);

/* Takes up to `room` events. The caller sets `listening` once it has told the listener that there are none left. */
size_t events_take(struct event_queue *queue, struct event *out, size_t room);

#endif
