/*
 * tetherfs' core alone, without Node.js: mounts a file of which every chunk lies in the arena. Measured against
 * fuse-reference it shows what the chunk table costs; against the daemon, what Node.js beside it costs.
 *
 *   store-server MOUNTPOINT THREADS MEGABYTES [CHUNK_KIB]      (until unmounted)
 */
#include "fuse_session.h"
#include "mount.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void ring(void *listener) { (void)listener; }

static void fill(struct store *store, uint32_t chunks, uint32_t chunk_bytes) {
  uint8_t *data = malloc(chunk_bytes);
  struct store_stats stats;
  memset(data, 0x5a, chunk_bytes);
  for (uint32_t chunk = 0; chunk < chunks; chunk++) {
    int64_t slot = store_grant(store, chunk);
    store_write(store, (uint32_t)slot, 0, data, chunk_bytes);
    store_complete(store, chunk, (uint32_t)slot);
  }
  do {
    usleep(1000);
    store_get_stats(store, &stats);
  } while (stats.chunks_present < chunks);
  free(data);
}

int main(int count, char **arguments) {
  if (count < 4) return fprintf(stderr, "usage: store-server MOUNTPOINT THREADS MEGABYTES [CHUNK_KIB]\n"), 2;
  uint64_t bytes = (uint64_t)atoi(arguments[3]) << 20;
  uint32_t chunk_bytes = (count > 4 ? (uint32_t)atoi(arguments[4]) : 128) * 1024;
  uint32_t chunks = (uint32_t)(bytes / chunk_bytes);
  struct store_options options = {.image_bytes = bytes, .chunk_bytes = chunk_bytes, .slots = chunks, .ring = ring};
  struct session_options named = {.file_name = "data", .mtime = 0};
  const char *why = "", *syscall = "";
  struct store *store;
  int fd, clone;
  if (store_create(&store, &options, &why) != 0) return fprintf(stderr, "store: %s\n", why), 1;
  fill(store, chunks, chunk_bytes);
  if (fuse_mount(arguments[1], "store-server", STORE_MAX_READ_BYTES, &fd, &syscall) != 0) return perror(syscall), 1;
  struct session *session = session_new(store, &named);
  session_add(session, fd);
  for (int i = 1; i < atoi(arguments[2]) && fuse_clone(fd, &clone, &syscall) == 0; i++) session_add(session, clone);
  if (session_run(session) != 0) return 1;
  for (struct event event = {0, 0, 0}; event.kind != EVENT_SESSION_ENDED; usleep(20000))
    while (store_take_events(store, &event, 1) == 1 && event.kind != EVENT_SESSION_ENDED) continue;
  session_stop(session);
  store_close(store);
  session_free(session);
  store_destroy(store);
  return 0;
}
