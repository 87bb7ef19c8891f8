/*
 * A reader without a kernel: records the answers a store gives, for a test to wait for.
 */
#ifndef TETHERFS_RECORDER_H
#define TETHERFS_RECORDER_H

#include "store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RECORDER_ANSWERS 4096

struct answer {
  bool given;
  int error;
  size_t bytes;
  uint8_t *data;
};

struct recorder {
  struct reply_to to;
  /* Guards the answers, by unique. */
  pthread_mutex_t lock;
  pthread_cond_t answered;
  struct answer answers[RECORDER_ANSWERS];
  int twice; /* answers to something that had been answered */
};

static void recorder_reply(struct reply_to *to, uint64_t unique, int error, struct iovec *iov, int count, size_t bytes) {
  struct recorder *recorder = (struct recorder *)to;
  uint8_t *data = malloc(bytes + 1);
  size_t at = 0;
  for (int i = 1; i < count; i++) {
    memcpy(data + at, iov[i].iov_base, iov[i].iov_len);
    at += iov[i].iov_len;
  }
  pthread_mutex_lock(&recorder->lock);
  struct answer *answer = &recorder->answers[unique % RECORDER_ANSWERS];
  if (answer->given || at != bytes) recorder->twice++;
  free(answer->data);
  *answer = (struct answer){true, error, bytes, data};
  pthread_cond_broadcast(&recorder->answered);
  pthread_mutex_unlock(&recorder->lock);
}

static inline void recorder_init(struct recorder *recorder) {
  memset(recorder, 0, sizeof *recorder);
  recorder->to.reply = recorder_reply;
  pthread_mutex_init(&recorder->lock, NULL);
  pthread_cond_init(&recorder->answered, NULL);
}

static inline bool recorder_has(struct recorder *recorder, uint64_t unique) {
  pthread_mutex_lock(&recorder->lock);
  bool given = recorder->answers[unique % RECORDER_ANSWERS].given;
  pthread_mutex_unlock(&recorder->lock);
  return given;
}

/* The answer, taken out: its data is the caller's. `given` is false after 20 s without one. */
static inline struct answer recorder_take(struct recorder *recorder, uint64_t unique) {
  struct answer *slot = &recorder->answers[unique % RECORDER_ANSWERS], answer;
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 20;
  pthread_mutex_lock(&recorder->lock);
  while (!slot->given)
    if (pthread_cond_timedwait(&recorder->answered, &recorder->lock, &until) != 0) break;
  answer = *slot;
  *slot = (struct answer){0};
  pthread_mutex_unlock(&recorder->lock);
  return answer;
}

static inline void recorder_destroy(struct recorder *recorder) {
  for (int i = 0; i < RECORDER_ANSWERS; i++) free(recorder->answers[i].data);
  pthread_mutex_destroy(&recorder->lock);
  pthread_cond_destroy(&recorder->answered);
}

#endif
