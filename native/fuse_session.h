/*
 * The kernel's side: threads that read FUSE requests, each from a descriptor of its own, and answer them. Metadata is
 * answered on the spot (one directory, one file, nothing ever changes); reads go to the store. An answer always goes to
 * the descriptor that its request came from. When all threads have left, the store posts sessionEnded.
 */
#ifndef TETHERFS_FUSE_SESSION_H
#define TETHERFS_FUSE_SESSION_H

#include "store.h"

#include <stdint.h>

#define SESSION_MAX_THREADS 16
#define SESSION_MAX_NAME_BYTES 255

struct session;

struct session_options {
  const char *file_name;
  int64_t mtime;      /* seconds since 1970 */
  bool no_page_cache; /* buffered reads pass the kernel's page cache by */
  bool passthrough;   /* the kernel is to read from the RAM file by itself, if it can */
};

/* All that INIT settled. */
struct session_protocol {
  uint32_t major, minor, max_read_bytes;
  uint32_t backing; /* the kernel's number of the RAM file when opened files pass through to it, else 0 */
  bool resend;      /* the kernel can send requests again */
};

/* A session without descriptors. Copies the options. NULL: no memory. */
struct session *session_new(struct store *store, const struct session_options *options);

/* One more thread's descriptor, which is the session's from now on. */
void session_add(struct session *session, int fd);

/* The connection is initialised already: what was settled. Before session_run. */
void session_adopt(struct session *session, struct session_protocol protocol);

/* The descriptors, `room` of them at most: how many there are. */
int session_descriptors(const struct session *session, int *fds, int room);

/* Starts the threads. 0, or an errno: then session_stop is all that may follow. */
int session_run(struct session *session);

/* Waits until the kernel's INIT is settled, or cannot be any more, or for a second. */
void session_wait_for_init(struct session *session);

/* What INIT settled; zero before. */
struct session_protocol session_get_protocol(struct session *session);

/*
 * Ends the threads without an end of the session: nothing is posted, waiting reads go on waiting. session_resume starts them again, unless
 * the session had ended by itself: 0 or an errno as session_run. One of these, or session_stop, at a time.
 */
void session_pause(struct session *session);
int session_resume(struct session *session);

/*
 * Ends the threads wherever they are. The descriptors stay open until session_free: the store may still be writing
 * answers to them.
 */
void session_stop(struct session *session);

/* After session_stop and store_close. Closing the last descriptor aborts the kernel's side if it is still there. */
void session_free(struct session *session);

#endif
