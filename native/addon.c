/*
 * The door between Node.js and the core: checks arguments, throws, calls. Its contract is src/native/binding.ts; what
 * the functions mean is said there and in store.h. Nothing else in native/ knows Node-API.
 */
#define NAPI_VERSION 8
#include "fuse_session.h"
#include "mount.h"
#include "store.h"
#include "xts.h"

#include <errno.h>
#include <math.h>
#include <node_api.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <uv.h>

#define MAX_SAFE_INTEGER 9007199254740991.0
#define MAX_PATH_BYTES 4096

/* One store and its session, as JavaScript holds them. */
struct handle {
  struct store *store;
  struct session *session;
  struct session_protocol protocol; /* of the session that is no more */
  bool mounted, closed;
  int references; /* the store object and its session object; JavaScript thread only */
  napi_ref keep;  /* keeps the store object until close(): a mount must not end by garbage collection */

  /* Guards `bell`, which any thread rings, and which may go when the environment ends. */
  pthread_mutex_t bell_lock;
  napi_threadsafe_function bell;
};

static const napi_type_tag STORE_TAG = {0x9d5f3c1e7a60428bULL, 0x8b12d4e6f7093a5cULL};

/* ---- Errors ---- */

static void throw_errno(napi_env env, int error, const char *syscall) {
  char message[256];
  snprintf(message, sizeof message, "%s: %s, %s", uv_err_name(-error), uv_strerror(-error), syscall);
  napi_value code, text, object, name;
  napi_create_string_utf8(env, uv_err_name(-error), NAPI_AUTO_LENGTH, &code);
  napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text);
  napi_create_error(env, code, text, &object);
  napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &name);
  napi_set_named_property(env, object, "syscall", name);
  napi_throw(env, object);
}

static void throw_range(napi_env env, const char *message) { napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message); }

static void throw_type(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
}

/* ---- Arguments: false means that an exception is pending ---- */

static bool get_integer(napi_env env, napi_value value, double max, const char *name, uint64_t *out) {
  char message[128];
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) {
    snprintf(message, sizeof message, "%s must be a number", name);
    throw_type(env, message);
    return false;
  }
  if (!(number >= 0 && number <= max) || number != floor(number)) {
    snprintf(message, sizeof message, "%s must be an integer from 0 to %.0f", name, max);
    throw_range(env, message);
    return false;
  }
  *out = (uint64_t)number;
  return true;
}

static bool get_bytes(napi_env env, napi_value value, const char *name, uint8_t **data, size_t *bytes) {
  bool is_typed = false;
  napi_typedarray_type type;
  void *start;
  if (napi_is_typedarray(env, value, &is_typed) == napi_ok && is_typed &&
      napi_get_typedarray_info(env, value, &type, bytes, &start, NULL, NULL) == napi_ok && type == napi_uint8_array) {
    *data = start;
    return true;
  }
  char message[128];
  snprintf(message, sizeof message, "%s must be a Uint8Array", name);
  throw_type(env, message);
  return false;
}

/* `text` has `room` bytes, its final zero included. A zero inside would end the name early: refused. */
static bool get_text(napi_env env, napi_value value, const char *name, char *text, size_t room) {
  char message[128];
  size_t bytes;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &bytes) != napi_ok) {
    snprintf(message, sizeof message, "%s must be a string", name);
    throw_type(env, message);
    return false;
  }
  if (bytes >= room || bytes == 0) {
    snprintf(message, sizeof message, "%s must be from 1 to %zu bytes", name, room - 1);
    throw_range(env, message);
    return false;
  }
  napi_get_value_string_utf8(env, value, text, room, &bytes);
  if (strlen(text) != bytes) {
    snprintf(message, sizeof message, "%s must not hold a zero byte", name);
    throw_range(env, message);
    return false;
  }
  return true;
}

/* The property, or NULL when it is undefined. */
static napi_value property(napi_env env, napi_value object, const char *name) {
  napi_value value;
  napi_valuetype type;
  if (napi_get_named_property(env, object, name, &value) != napi_ok) return NULL;
  napi_typeof(env, value, &type);
  return type == napi_undefined ? NULL : value;
}

static bool is_object(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && type == napi_object;
}

static bool get_property_integer(napi_env env, napi_value object, const char *name, double max, uint64_t *out) {
  napi_value value = property(env, object, name);
  if (value != NULL) return get_integer(env, value, max, name, out);
  char message[128];
  snprintf(message, sizeof message, "%s must be a number", name);
  throw_type(env, message);
  return false;
}

static bool get_property_text(napi_env env, napi_value object, const char *name, char *text, size_t room) {
  napi_value value = property(env, object, name);
  if (value != NULL) return get_text(env, value, name, text, room);
  char message[128];
  snprintf(message, sizeof message, "%s must be a string", name);
  throw_type(env, message);
  return false;
}

/* The store that a method was called on, and its arguments (missing ones are undefined). */
static struct handle *unwrap(napi_env env, napi_callback_info info, size_t count, napi_value *arguments) {
  napi_value self;
  bool is_store = false;
  void *handle = NULL;
  if (napi_get_cb_info(env, info, &count, arguments, &self, NULL) == napi_ok &&
      napi_check_object_type_tag(env, self, &STORE_TAG, &is_store) == napi_ok && is_store &&
      napi_unwrap(env, self, &handle) == napi_ok)
    return handle;
  throw_type(env, "not a tetherfs store");
  return NULL;
}

static bool get_chunk(napi_env env, const struct handle *handle, napi_value value, uint32_t *chunk) {
  uint64_t number;
  if (!get_integer(env, value, INT32_MAX, "chunk", &number)) return false;
  if (!store_has_chunk(handle->store, number)) {
    throw_range(env, "chunk is past the end of the image");
    return false;
  }
  *chunk = (uint32_t)number;
  return true;
}

static bool get_slot(napi_env env, napi_value value, uint32_t *slot) {
  uint64_t number;
  if (!get_integer(env, value, INT32_MAX, "slot", &number)) return false;
  *slot = (uint32_t)number;
  return true;
}

static napi_value number(napi_env env, double value) {
  napi_value result = NULL;
  napi_create_double(env, value, &result);
  return result;
}

static napi_value boolean(napi_env env, bool value) {
  napi_value result = NULL;
  napi_get_boolean(env, value, &result);
  return result;
}

/* ---- The bell: from any thread to onEvents ---- */

static void ring(void *listener) {
  struct handle *handle = listener;
  pthread_mutex_lock(&handle->bell_lock);
  /* After napi_closing the function must not be touched again. */
  if (handle->bell != NULL &&
      napi_call_threadsafe_function(handle->bell, NULL, napi_tsfn_nonblocking) == napi_closing)
    handle->bell = NULL;
  pthread_mutex_unlock(&handle->bell_lock);
}

static void on_ring(napi_env env, napi_value on_events, void *context, void *data) {
  struct handle *handle = context;
  napi_value undefined, exception;
  bool thrown = false;
  (void)data;
  if (env == NULL || on_events == NULL || handle->closed) return;
  napi_get_undefined(env, &undefined);
  napi_status status = napi_call_function(env, undefined, on_events, 0, NULL, NULL);
  if (status == napi_ok) return;
  store_listen_again(handle->store);
  if (napi_is_exception_pending(env, &thrown) == napi_ok && thrown &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception); /* 'uncaughtException', as from any other callback */
}

/* ---- Life ---- */

static void close_handle(struct handle *handle) {
  if (handle->closed) return;
  handle->closed = true;
  if (handle->session != NULL) session_stop(handle->session);
  store_close(handle->store);
  if (handle->session != NULL) {
    handle->protocol = session_get_protocol(handle->session);
    session_free(handle->session);
    handle->session = NULL;
  }
  pthread_mutex_lock(&handle->bell_lock);
  if (handle->bell != NULL) napi_release_threadsafe_function(handle->bell, napi_tsfn_abort);
  handle->bell = NULL;
  pthread_mutex_unlock(&handle->bell_lock);
}

static void unreference(struct handle *handle) {
  if (--handle->references > 0) return;
  close_handle(handle);
  store_destroy(handle->store);
  pthread_mutex_destroy(&handle->bell_lock);
  free(handle);
}

static void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  unreference(data);
}

static napi_value js_close(napi_env env, napi_callback_info info) {
  struct handle *handle = unwrap(env, info, 0, NULL);
  if (handle == NULL || handle->closed) return NULL;
  close_handle(handle);
  napi_delete_reference(env, handle->keep);
  handle->keep = NULL;
  return NULL;
}

/* ---- Methods of a store ---- */

static napi_value js_take_events(napi_env env, napi_callback_info info) {
  napi_value out;
  struct handle *handle = unwrap(env, info, 1, &out);
  napi_typedarray_type type;
  size_t length;
  void *data;
  bool is_typed = false;
  if (handle == NULL) return NULL;
  if (napi_is_typedarray(env, out, &is_typed) != napi_ok || !is_typed ||
      napi_get_typedarray_info(env, out, &type, &length, &data, NULL, NULL) != napi_ok || type != napi_int32_array) {
    throw_type(env, "out must be an Int32Array");
    return NULL;
  }
  if (length < 3) {
    throw_range(env, "out must have room for an event: 3 numbers");
    return NULL;
  }
  return number(env, (double)store_take_events(handle->store, data, length / 3));
}

static napi_value js_grant(napi_env env, napi_callback_info info) {
  napi_value argument;
  uint32_t chunk;
  struct handle *handle = unwrap(env, info, 1, &argument);
  if (handle == NULL || !get_chunk(env, handle, argument, &chunk)) return NULL;
  return number(env, (double)store_grant(handle->store, chunk));
}

static napi_value js_spare(napi_env env, napi_callback_info info) {
  struct handle *handle = unwrap(env, info, 0, NULL);
  return handle == NULL ? NULL : number(env, (double)store_spare(handle->store));
}

static napi_value js_write(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  uint32_t slot;
  uint64_t offset;
  uint8_t *data;
  size_t bytes;
  struct handle *handle = unwrap(env, info, 3, arguments);
  if (handle == NULL || !get_slot(env, arguments[0], &slot) ||
      !get_integer(env, arguments[1], MAX_SAFE_INTEGER, "offset", &offset) ||
      !get_bytes(env, arguments[2], "bytes", &data, &bytes))
    return NULL;
  if (store_write(handle->store, slot, offset, data, bytes) != 0)
    throw_range(env, "not a slot of yours, or past its end");
  return NULL;
}

static napi_value js_complete(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  uint32_t chunk, slot;
  struct handle *handle = unwrap(env, info, 2, arguments);
  if (handle == NULL || !get_chunk(env, handle, arguments[0], &chunk) || !get_slot(env, arguments[1], &slot))
    return NULL;
  if (store_complete(handle->store, chunk, slot) != 0) throw_range(env, "not a slot of yours");
  return NULL;
}

static napi_value js_drop(napi_env env, napi_callback_info info) {
  napi_value argument;
  uint32_t slot;
  struct handle *handle = unwrap(env, info, 1, &argument);
  if (handle == NULL || !get_slot(env, argument, &slot)) return NULL;
  if (store_drop(handle->store, slot) != 0) throw_range(env, "not a slot of yours");
  return NULL;
}

static napi_value js_release(napi_env env, napi_callback_info info) {
  napi_value argument;
  uint32_t chunk;
  struct handle *handle = unwrap(env, info, 1, &argument);
  if (handle == NULL || !get_chunk(env, handle, argument, &chunk)) return NULL;
  return boolean(env, store_release(handle->store, chunk));
}

static napi_value js_fail(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  uint32_t chunk;
  uint64_t error;
  struct handle *handle = unwrap(env, info, 2, arguments);
  if (handle == NULL || !get_chunk(env, handle, arguments[0], &chunk) ||
      !get_integer(env, arguments[1], 511, "errno", &error))
    return NULL;
  /* The kernel refuses answers with 0 or with 512 and more: the reader would hang. */
  if (error == 0)
    throw_range(env, "errno must be from 1 to 511");
  else
    store_fail(handle->store, chunk, (int)error);
  return NULL;
}

static napi_value js_mark(napi_env env, napi_callback_info info) {
  napi_value argument;
  uint32_t chunk;
  struct handle *handle = unwrap(env, info, 1, &argument);
  if (handle == NULL || !get_chunk(env, handle, argument, &chunk)) return NULL;
  store_mark(handle->store, chunk);
  return NULL;
}

static napi_value js_try_evict(napi_env env, napi_callback_info info) {
  napi_value argument;
  uint32_t chunk;
  struct handle *handle = unwrap(env, info, 1, &argument);
  if (handle == NULL || !get_chunk(env, handle, argument, &chunk)) return NULL;
  return number(env, store_try_evict(handle->store, chunk));
}

static napi_value js_stats(napi_env env, napi_callback_info info) {
  struct handle *handle = unwrap(env, info, 0, NULL);
  struct store_stats stats;
  napi_value result;
  if (handle == NULL) return NULL;
  store_get_stats(handle->store, &stats);
  const struct {
    const char *name;
    double value;
  } fields[] = {
      {"readsCached", (double)stats.reads_cached},
      {"readsWaited", (double)stats.reads_waited},
      {"readsFailed", (double)stats.reads_failed},
      {"readsInterrupted", (double)stats.reads_interrupted},
      {"bytesRead", (double)stats.bytes_read},
      {"readsWaiting", (double)stats.reads_waiting},
      {"oldestWaitMs", stats.oldest_wait_ms},
      {"longestWaitMs", stats.longest_wait_ms},
      {"slotsTotal", (double)stats.slots_total},
      {"slotsFree", (double)stats.slots_free},
      {"chunksPresent", (double)stats.chunks_present},
      {"chunksInFlight", (double)stats.chunks_in_flight},
      {"chunksPublished", (double)stats.chunks_published},
      {"chunksRejected", (double)stats.chunks_rejected},
      {"chunksEvicted", (double)stats.chunks_evicted},
      {"chunksPrefetched", (double)stats.chunks_prefetched},
      {"chunksPrefetchedRead", (double)stats.chunks_prefetched_read},
  };
  napi_create_object(env, &result);
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
    napi_set_named_property(env, result, fields[i].name, number(env, fields[i].value));
  return result;
}

/* ---- Mount ---- */

static napi_value js_protocol(napi_env env, napi_callback_info info) {
  void *data = NULL;
  napi_value result;
  napi_get_cb_info(env, info, NULL, NULL, NULL, &data);
  struct handle *handle = data;
  if (handle->session != NULL) handle->protocol = session_get_protocol(handle->session);
  napi_create_object(env, &result);
  napi_set_named_property(env, result, "major", number(env, handle->protocol.major));
  napi_set_named_property(env, result, "minor", number(env, handle->protocol.minor));
  napi_set_named_property(env, result, "maxReadBytes", number(env, handle->protocol.max_read_bytes));
  return result;
}

/* Mounts, and starts a session of `threads` threads. 0 or an errno; nothing is left behind on failure. */
static int start_session(struct handle *handle, const char *mountpoint, const char *source, uint64_t threads,
                         const struct session_options *options, const char **syscall) {
  int first, error = fuse_mount(mountpoint, source, STORE_MAX_READ_BYTES, &first, syscall);
  if (error != 0) return error;
  struct session *session = session_new(handle->store, options);
  if (session == NULL) {
    close(first);
    umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
    *syscall = "malloc";
    return ENOMEM;
  }
  session_add(session, first);
  for (uint64_t i = 1; i < threads && error == 0; i++) {
    int clone;
    error = fuse_clone(first, &clone, syscall);
    if (error == 0) session_add(session, clone);
  }
  if (error == 0) {
    *syscall = "pthread_create";
    error = session_run(session);
  }
  if (error != 0) {
    session_stop(session);
    session_free(session);
    umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
    return error;
  }
  handle->session = session;
  handle->mounted = true;
  return 0;
}

static napi_value session_object(napi_env env, struct handle *handle, const char *mountpoint) {
  uint32_t major = 0, minor = 0;
  const char *syscall;
  napi_value result, device, protocol;
  int error = fuse_device(mountpoint, &major, &minor, &syscall);
  if (error != 0) {
    throw_errno(env, error, syscall);
    return NULL;
  }
  napi_create_object(env, &result);
  napi_create_object(env, &device);
  napi_set_named_property(env, device, "major", number(env, major));
  napi_set_named_property(env, device, "minor", number(env, minor));
  napi_set_named_property(env, result, "device", device);
  napi_create_function(env, "protocol", NAPI_AUTO_LENGTH, js_protocol, handle, &protocol);
  handle->references++;
  napi_add_finalizer(env, protocol, handle, on_collected, NULL, NULL);
  napi_set_named_property(env, result, "protocol", protocol);
  return result;
}

static napi_value js_mount(napi_env env, napi_callback_info info) {
  napi_value options;
  char mountpoint[MAX_PATH_BYTES], source[MAX_PATH_BYTES], name[SESSION_MAX_NAME_BYTES + 1];
  uint64_t threads, mtime;
  const char *syscall = "";
  struct handle *handle = unwrap(env, info, 1, &options);
  if (handle == NULL) return NULL;
  if (!is_object(env, options)) {
    throw_type(env, "options must be an object");
    return NULL;
  }
  if (!get_property_text(env, options, "mountpoint", mountpoint, sizeof mountpoint) ||
      !get_property_text(env, options, "source", source, sizeof source) ||
      !get_property_text(env, options, "fileName", name, sizeof name) ||
      !get_property_integer(env, options, "threads", SESSION_MAX_THREADS, &threads) ||
      !get_property_integer(env, options, "mtime", MAX_SAFE_INTEGER, &mtime))
    return NULL;
  if (threads == 0) {
    throw_range(env, "threads must be an integer from 1 to 16");
    return NULL;
  }
  if (strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
    throw_range(env, "fileName must not be a path");
    return NULL;
  }
  if (handle->mounted || handle->closed) {
    napi_throw_error(env, "ERR_INVALID_STATE", handle->closed ? "the store is closed" : "the store is mounted already");
    return NULL;
  }
  struct session_options session = {.file_name = name, .mtime = (int64_t)mtime};
  int error = start_session(handle, mountpoint, source, threads, &session, &syscall);
  if (error != 0) {
    throw_errno(env, error, syscall);
    return NULL;
  }
  return session_object(env, handle, mountpoint);
}

/* ---- Module functions ---- */

static bool get_verity(napi_env env, napi_value verity, struct store_options *options) {
  uint64_t block;
  uint8_t *leaves, *salt;
  size_t leaves_bytes, salt_bytes;
  if (!is_object(env, verity)) {
    throw_type(env, "verity must be an object");
    return false;
  }
  napi_value leaves_value = property(env, verity, "leaves"), salt_value = property(env, verity, "salt");
  if (leaves_value == NULL || salt_value == NULL) {
    throw_type(env, "verity.leaves and verity.salt must be Uint8Arrays");
    return false;
  }
  if (!get_property_integer(env, verity, "blockSize", UINT32_MAX, &block) ||
      !get_bytes(env, leaves_value, "verity.leaves", &leaves, &leaves_bytes) ||
      !get_bytes(env, salt_value, "verity.salt", &salt, &salt_bytes))
    return false;
  static const uint8_t nothing[1];
  options->block_bytes = (uint32_t)block;
  options->leaves = leaves != NULL ? leaves : nothing;
  options->leaf_count = leaves_bytes % 32 == 0 ? leaves_bytes / 32 : SIZE_MAX; /* then it cannot fit the image */
  options->salt = salt;
  options->salt_bytes = salt_bytes;
  return true;
}

static bool get_store_options(napi_env env, napi_value object, struct store_options *options) {
  uint64_t image, chunk, slots, hidden;
  if (!is_object(env, object)) {
    throw_type(env, "options must be an object");
    return false;
  }
  if (!get_property_integer(env, object, "imageSize", MAX_SAFE_INTEGER, &image) ||
      !get_property_integer(env, object, "chunkSize", UINT32_MAX, &chunk) ||
      !get_property_integer(env, object, "slots", INT32_MAX, &slots) ||
      !get_property_integer(env, object, "hiddenBytes", MAX_SAFE_INTEGER, &hidden))
    return false;
  options->image_bytes = image;
  options->chunk_bytes = (uint32_t)chunk;
  options->slots = (uint32_t)slots;
  options->hidden_bytes = hidden;
  napi_value key = property(env, object, "xtsKey"), verity = property(env, object, "verity");
  static const uint8_t nothing[1];
  uint8_t *bytes;
  if (key != NULL) {
    if (!get_bytes(env, key, "xtsKey", &bytes, &options->xts_key_bytes)) return false;
    options->xts_key = bytes != NULL ? bytes : nothing;
  }
  return verity == NULL || get_verity(env, verity, options);
}

static napi_value wrap_store(napi_env env, struct handle *handle) {
  const napi_property_descriptor methods[] = {
      {"takeEvents", NULL, js_take_events, NULL, NULL, NULL, napi_enumerable, NULL},
      {"grant", NULL, js_grant, NULL, NULL, NULL, napi_enumerable, NULL},
      {"spare", NULL, js_spare, NULL, NULL, NULL, napi_enumerable, NULL},
      {"write", NULL, js_write, NULL, NULL, NULL, napi_enumerable, NULL},
      {"complete", NULL, js_complete, NULL, NULL, NULL, napi_enumerable, NULL},
      {"drop", NULL, js_drop, NULL, NULL, NULL, napi_enumerable, NULL},
      {"release", NULL, js_release, NULL, NULL, NULL, napi_enumerable, NULL},
      {"fail", NULL, js_fail, NULL, NULL, NULL, napi_enumerable, NULL},
      {"mark", NULL, js_mark, NULL, NULL, NULL, napi_enumerable, NULL},
      {"tryEvict", NULL, js_try_evict, NULL, NULL, NULL, napi_enumerable, NULL},
      {"stats", NULL, js_stats, NULL, NULL, NULL, napi_enumerable, NULL},
      {"mount", NULL, js_mount, NULL, NULL, NULL, napi_enumerable, NULL},
      {"close", NULL, js_close, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_value object;
  napi_create_object(env, &object);
  napi_define_properties(env, object, sizeof methods / sizeof methods[0], methods);
  napi_type_tag_object(env, object, &STORE_TAG);
  napi_wrap(env, object, handle, on_collected, NULL, NULL);
  handle->references = 1;
  napi_create_reference(env, object, 1, &handle->keep);
  return object;
}

static napi_value js_create_store(napi_env env, napi_callback_info info) {
  napi_value argument, on_events, name;
  size_t count = 1;
  struct store_options options = {0};
  const char *why = NULL;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  if (!get_store_options(env, argument, &options)) return NULL;
  napi_valuetype type = napi_undefined;
  on_events = property(env, argument, "onEvents");
  if (on_events != NULL) napi_typeof(env, on_events, &type);
  if (type != napi_function) {
    throw_type(env, "onEvents must be a function");
    return NULL;
  }
  struct handle *handle = calloc(1, sizeof *handle);
  if (handle == NULL) {
    throw_errno(env, ENOMEM, "malloc");
    return NULL;
  }
  pthread_mutex_init(&handle->bell_lock, NULL);
  options.ring = ring;
  options.listener = handle;
  int error = store_create(&handle->store, &options, &why);
  if (error != 0) {
    pthread_mutex_destroy(&handle->bell_lock);
    free(handle);
    if (why != NULL)
      throw_range(env, why);
    else
      throw_errno(env, error, "createStore");
    return NULL;
  }
  napi_create_string_utf8(env, "tetherfs:events", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, on_events, NULL, name, 0, 1, NULL, NULL, handle, on_ring, &handle->bell);
  napi_unref_threadsafe_function(env, handle->bell);
  return wrap_store(env, handle);
}

static napi_value js_xts(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  size_t count = 4, bytes, key_bytes;
  uint8_t *data, *key;
  uint64_t sector;
  char direction[16];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  if (!get_bytes(env, arguments[0], "data", &data, &bytes) || !get_bytes(env, arguments[1], "key", &key, &key_bytes) ||
      !get_integer(env, arguments[2], MAX_SAFE_INTEGER, "firstSector", &sector) ||
      !get_text(env, arguments[3], "direction", direction, sizeof direction))
    return NULL;
  bool encrypt = strcmp(direction, "encrypt") == 0;
  if (!encrypt && strcmp(direction, "decrypt") != 0) {
    throw_range(env, "direction must be 'encrypt' or 'decrypt'");
    return NULL;
  }
  if (bytes % XTS_SECTOR_BYTES != 0) {
    throw_range(env, "data must be whole sectors of 512 bytes");
    return NULL;
  }
  struct xts *xts = xts_create(key, key_bytes, encrypt);
  if (xts == NULL)
    throw_range(env, "key must be 32 or 64 bytes whose halves differ");
  else if (!xts_run(xts, data, bytes, sector))
    napi_throw_error(env, "ERR_CRYPTO", "the crypto library failed");
  xts_destroy(xts);
  return NULL;
}

struct unmount {
  napi_async_work work;
  napi_deferred deferred;
  int flags, error;
  char mountpoint[MAX_PATH_BYTES];
};

static void unmount_execute(napi_env env, void *data) {
  struct unmount *unmount = data;
  (void)env;
  unmount->error = umount2(unmount->mountpoint, unmount->flags) == 0 ? 0 : errno;
}

static void unmount_complete(napi_env env, napi_status status, void *data) {
  struct unmount *unmount = data;
  napi_value value;
  int error = status == napi_ok ? unmount->error : ECANCELED;
  if (error == 0) {
    napi_get_undefined(env, &value);
    napi_resolve_deferred(env, unmount->deferred, value);
  } else {
    throw_errno(env, error, "umount2");
    napi_get_and_clear_last_exception(env, &value);
    napi_reject_deferred(env, unmount->deferred, value);
  }
  napi_delete_async_work(env, unmount->work);
  free(unmount);
}

static napi_value js_unmount(napi_env env, napi_callback_info info) {
  napi_value arguments[2], name, promise;
  size_t count = 2;
  char mode[16];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct unmount *unmount = calloc(1, sizeof *unmount);
  if (unmount == NULL) {
    throw_errno(env, ENOMEM, "malloc");
    return NULL;
  }
  if (!get_text(env, arguments[0], "mountpoint", unmount->mountpoint, sizeof unmount->mountpoint) ||
      !get_text(env, arguments[1], "mode", mode, sizeof mode)) {
    free(unmount);
    return NULL;
  }
  bool lazy = strcmp(mode, "lazy") == 0;
  if (!lazy && strcmp(mode, "normal") != 0) {
    free(unmount);
    throw_range(env, "mode must be 'normal' or 'lazy'");
    return NULL;
  }
  unmount->flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0);
  napi_create_promise(env, &unmount->deferred, &promise);
  napi_create_string_utf8(env, "tetherfs:unmount", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(env, NULL, name, unmount_execute, unmount_complete, unmount, &unmount->work);
  napi_queue_async_work(env, unmount->work);
  return promise;
}

NAPI_MODULE_INIT() {
  const napi_property_descriptor functions[] = {
      {"createStore", NULL, js_create_store, NULL, NULL, NULL, napi_enumerable, NULL},
      {"xts", NULL, js_xts, NULL, NULL, NULL, napi_enumerable, NULL},
      {"unmount", NULL, js_unmount, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_define_properties(env, exports, sizeof functions / sizeof functions[0], functions);
  return exports;
}
