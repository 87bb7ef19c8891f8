/* See events.h. */
#include "events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int events_init(struct event_queue *queue, size_t capacity) {
  *queue = (struct event_queue){.capacity = capacity, .listening = true};
  queue->ring = malloc(capacity * sizeof *queue->ring);
  return queue->ring == NULL ? ENOMEM : 0;
}

void events_destroy(struct event_queue *queue) {
  free(queue->ring);
  queue->ring = NULL;
}

static bool grow(struct event_queue *queue) {
  size_t capacity = queue->capacity * 2;
  struct event *ring = malloc(capacity * sizeof *ring);
  if (ring == NULL) return false;
  for (size_t i = 0; i < queue->count; i++) ring[i] = queue->ring[(queue->head + i) % queue->capacity];
  free(queue->ring);
  queue->ring = ring;
  queue->capacity = capacity;
  queue->head = 0;
  return true;
}

void events_nudge(struct event_queue *queue) {
  if (queue->listening) {
    queue->listening = false;
    queue->ring_bell = true;
  }
}

void events_post(struct event_queue *queue, enum event_kind kind, uint32_t a, uint32_t b) {
  if (queue->count == queue->capacity && !grow(queue)) {
    fputs("tetherfs: no memory for what has to be told\n", stderr);
    abort();
  }
  queue->ring[(queue->head + queue->count) % queue->capacity] = (struct event){(int32_t)kind, (int32_t)a, (int32_t)b};
  queue->count++;
  events_nudge(queue);
}

size_t events_take(struct event_queue *queue, struct event *out, size_t room) {
  size_t taken = 0;
  while (taken < room && queue->count > 0) {
    out[taken++] = queue->ring[queue->head];
    queue->head = (queue->head + 1) % queue->capacity;
    queue->count--;
  }
  return taken;
}
