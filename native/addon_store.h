/* A store and its session as JavaScript holds them: what addon.c and addon_mount.c share. */
#ifndef TETHERFS_ADDON_STORE_H
#define TETHERFS_ADDON_STORE_H

#include "addon_values.h"
#include "fuse_session.h"
#include "store.h"

#include <pthread.h>
#include <sys/queue.h>

struct js_read;

struct handle {
  struct store *store;
  struct session *session;
  struct session_protocol protocol; /* of the session that is no more */
  bool mounted, frozen, closed;
  int pauses; /* that have not resolved */
  uint32_t device_major, device_minor;
  int references; /* the store object and its session object; JavaScript thread only */
  napi_ref keep;  /* keeps the store object until close(): a mount must not end by garbage collection */

  /* Held while the session's threads are started or ended, which a pause does on a thread of Node's pool. */
  pthread_mutex_t session_lock;

  /* Guards `bell`, which any thread rings, and which may go when the environment ends. */
  pthread_mutex_t bell_lock;
  napi_threadsafe_function bell;

  /* Guards `answered`: reads of JavaScript's whose promises are to be settled. */
  pthread_mutex_t reads_lock;
  SLIST_HEAD(, js_read) answered;
};

/* The store that a method was called on, and its arguments (missing ones are undefined). NULL: an exception is pending. */
struct handle *unwrap(napi_env env, napi_callback_info info, size_t count, napi_value *arguments);

/* Has onEvents called on the JavaScript thread, and answered reads settled; from any thread. `listener` is the handle. */
void ring(void *listener);

void unreference(struct handle *handle);

/* unreference, as a finalizer. */
void on_collected(napi_env env, void *data, void *hint);

/* Methods of a store that begin a session. */
napi_value js_mount(napi_env env, napi_callback_info info);
napi_value js_adopt_mount(napi_env env, napi_callback_info info);

#endif
