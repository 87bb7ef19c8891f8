/*
 * The whole core under a real kernel mount, served by this process or a child of it. Nobody may open the file in the
 * process that serves it: a child does.
 */
#ifndef TETHERFS_MOUNTED_H
#define TETHERFS_MOUNTED_H

#include "check.h"
#include "fuse_session.h"
#include "loader.h"
#include "mount.h"
#include "served.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 65536, THREADS = 3 };
#define IMAGE (20u * 1024 * 1024 + 512)
#define HIDDEN 4096u

static struct served served;
static struct loader loader;
static struct store *store;
static struct session *session;
/* With our pid, as scripts/leftovers expects it. */
static char mountpoint[64];
static char path[sizeof mountpoint + 16];

/* A store without a mount. */
static inline void start_store(uint32_t slots, struct loader_options options) {
  struct store_options store_options;
  const char *why = "";
  options.chunks = served.chunks;
  options.chunk_bytes = CHUNK;
  options.slots = slots;
  options.fetch = served_fetch;
  options.context = &served;
  loader_init(&loader, &options);
  served_options(&served, slots, &store_options);
  store_options.ring = loader_ring;
  store_options.listener = &loader;
  CHECK(store_create(&store, &store_options, &why) == 0);
}

static inline void start_session(struct session_options how) {
  const char *syscall = "";
  int fd, clone;
  how.file_name = "rootimg.sfs";
  how.mtime = 1700000000;
  CHECK(fuse_mount(mountpoint, "tetherfs", STORE_MAX_READ_BYTES, &fd, &syscall) == 0);
  session = session_new(store, &how);
  session_add(session, fd);
  for (int i = 1; i < THREADS; i++) {
    CHECK(fuse_clone(fd, &clone, &syscall) == 0);
    session_add(session, clone);
  }
  CHECK(session_run(session) == 0);
  session_wait_for_init(session);
}

static inline void start(uint32_t slots, struct loader_options options) {
  start_store(slots, options);
  start_session((struct session_options){0});
}

static inline void finish(void) {
  session_stop(session);
  loader_stop(&loader);
  store_close(store);
  session_free(session);
  store_destroy(store);
  loader_destroy(&loader);
}

static inline bool session_ended(void) {
  for (int i = 0; i < 5000 && loader.ended == 0; i++) usleep(1000);
  return loader.ended == 1;
}

/* In a child: a session that outlives its server in a reader's descriptor would leave that reader stuck for ever. */
static inline void drop_inherited(void) {
  for (int fd = 3; fd < 64; fd++) close(fd);
}

/* Whether a child ended by itself, with 0. */
static inline bool child_succeeds(pid_t child) {
  int status = -1;
  return waitpid(child, &status, 0) == child && status == 0;
}

static inline bool mounted_init(void) {
  served_make(&served, IMAGE, HIDDEN, CHUNK, CHUNK);
  snprintf(mountpoint, sizeof mountpoint, "/tmp/tetherfs-mount-test-%d-XXXXXX", (int)getpid());
  if (mkdtemp(mountpoint) == NULL) return false;
  snprintf(path, sizeof path, "%s/rootimg.sfs", mountpoint);
  return true;
}

static inline void mounted_end(void) {
  rmdir(mountpoint);
  served_free(&served);
}

#endif
