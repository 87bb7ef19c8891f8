/* A store and its session as JavaScript holds them: what addon.c and addon_mount.c share. */
#ifndef TETHERFS_ADDON_STORE_H
#define TETHERFS_ADDON_STORE_H

#include "addon_values.h"
#include "fuse_session.h"
#include "store.h"

#include <pthread.h>

struct handle {
  struct store *store;
  struct session *session;
  struct session_protocol protocol; /* of the session that is no more */
  bool mounted, frozen, closed;
  int pauses; /* that have not resolved */
  /* Of the mount, for dropPages. */
  char mountpoint[MAX_PATH_BYTES], file_name[SESSION_MAX_NAME_BYTES + 1];
  uint32_t device_major, device_minor;
  int references; /* the store object and its session object; JavaScript thread only */
  napi_ref keep;  /* keeps the store object until close(): a mount must not end by garbage collection */

  /* Held while the session's threads are started or ended, which a pause does on a thread of Node's pool. */
  pthread_mutex_t session_lock;

  /* Guards `bell`, which any thread rings, and which may go when the environment ends. */
  pthread_mutex_t bell_lock;
  napi_threadsafe_function bell;
};

/* The store that a method was called on, and its arguments (missing ones are undefined). NULL: an exception is pending. */
struct handle *unwrap(napi_env env, napi_callback_info info, size_t count, napi_value *arguments);

void unreference(struct handle *handle);

/* unreference, as a finalizer. */
void on_collected(napi_env env, void *data, void *hint);

/* Methods of a store that begin a session. */
napi_value js_mount(napi_env env, napi_callback_info info);
napi_value js_adopt_mount(napi_env env, napi_callback_info info);

#endif
