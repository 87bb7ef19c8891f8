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

struct session_protocol {
  uint32_t major, minor, max_read_bytes;
  bool passthrough;
};

/* A session without descriptors. Copies the options. NULL: no memory. */
struct session *session_new(struct store *store, const struct session_options *options);

/* One more thread's descriptor, which is the session's from now on. */
void session_add(struct session *session, int fd);

/* Starts the threads. 0, or an errno: then session_stop is all that may follow. */
int session_run(struct session *session);

/* Waits until the kernel's INIT is settled, or cannot be any more, or for a second. */
void session_wait_for_init(struct session *session);

/* What INIT settled; zero before. */
struct session_protocol session_get_protocol(struct session *session);

/*
 * Ends the threads wherever they are. The descriptors stay open until session_free: the store may still be writing
 * answers to them.
 */
void session_stop(struct session *session);

/* After session_stop and store_close. Closing the last descriptor aborts the kernel's side if it is still there. */
void session_free(struct session *session);

#endif
