/*
 * The door between Node.js and the core: checks arguments, throws, calls. Its contract is src/native/binding.ts; what
 * the functions mean is said there and in store.h. Nothing else in native/ but addon_*.c
 * knows Node-API.
 */
#include "addon_crypt.h"
#include "addon_reads.h"
#include "addon_store.h"
#include "addon_system.h"
#include "addon_takeover.h"
#include "addon_values.h"
#include "addon_work.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const napi_type_tag STORE_TAG = {0x9d5f3c1e7a60428bULL, 0x8b12d4e6f7093a5cULL};

/* The store that a method was called on, and its arguments (missing ones are undefined). */
struct handle *unwrap(napi_env env, napi_callback_info info, size_t count, napi_value *arguments) {
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

/* ---- The bell: from any thread to onEvents ---- */

void ring(void *listener) {
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
  if (env == NULL || on_events == NULL) return;
  handle->references++; /* a read may have had the last one */
  settle_reads(env, handle);
  bool closed = handle->closed;
  unreference(handle);
  if (closed) return;
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
  pthread_mutex_lock(&handle->session_lock);
  if (handle->session != NULL) session_stop(handle->session);
  store_close(handle->store);
  if (handle->session != NULL) {
    handle->protocol = session_get_protocol(handle->session);
    session_free(handle->session);
    handle->session = NULL;
  }
  pthread_mutex_unlock(&handle->session_lock);
  pthread_mutex_lock(&handle->bell_lock);
  if (handle->bell != NULL) napi_release_threadsafe_function(handle->bell, napi_tsfn_abort);
  handle->bell = NULL;
  pthread_mutex_unlock(&handle->bell_lock);
}

static void freeze_handle(struct handle *handle) {
  pthread_mutex_lock(&handle->session_lock);
  /* A pause: what is waiting is not to be answered. */
  if (handle->session != NULL) session_pause(handle->session);
  handle->frozen = true;
  pthread_mutex_unlock(&handle->session_lock);
  store_freeze(handle->store);
}

void unreference(struct handle *handle) {
  if (--handle->references > 0) return;
  /* The process ends, and nobody has closed the store: a successor may get the waiting reads again, so do not fail them. */
  if (!handle->closed) freeze_handle(handle);
  close_handle(handle);
  store_destroy(handle->store);
  pthread_mutex_destroy(&handle->session_lock);
  pthread_mutex_destroy(&handle->bell_lock);
  pthread_mutex_destroy(&handle->reads_lock);
  free(handle);
}

void on_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  unreference(data);
}

static napi_value js_close(napi_env env, napi_callback_info info) {
  struct handle *handle = unwrap(env, info, 0, NULL);
  if (handle == NULL || handle->closed) return NULL;
  close_handle(handle);
  settle_reads(env, handle);
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

/* The kernel refuses answers with 0 or with 512 and more: the reader would hang. */
static bool get_errno(napi_env env, napi_value value, int *error) {
  uint64_t number;
  if (!get_integer(env, value, 511, "errno", &number)) return false;
  if (number == 0) {
    throw_range(env, "errno must be from 1 to 511");
    return false;
  }
  *error = (int)number;
  return true;
}

static napi_value js_fail(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  uint32_t chunk;
  int error;
  struct handle *handle = unwrap(env, info, 2, arguments);
  if (handle == NULL || !get_chunk(env, handle, arguments[0], &chunk) || !get_errno(env, arguments[1], &error)) return NULL;
  store_fail(handle->store, chunk, error);
  return NULL;
}

static napi_value js_cancel_reads(napi_env env, napi_callback_info info) {
  napi_value argument;
  int error;
  struct handle *handle = unwrap(env, info, 1, &argument);
  if (handle == NULL || !get_errno(env, argument, &error)) return NULL;
  store_cancel_reads(handle->store, error);
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
      {"chunksInRam", (double)stats.chunks_in_ram},
      {"chunksTraced", (double)stats.chunks_traced},
      {"chunksNotAdopted", (double)stats.chunks_not_adopted},
  };
  napi_create_object(env, &result);
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
    napi_set_named_property(env, result, fields[i].name, number(env, fields[i].value));
  return result;
}

static napi_value js_trace(napi_env env, napi_callback_info info) {
  struct handle *handle = unwrap(env, info, 0, NULL);
  napi_value buffer, result = NULL;
  void *data;
  if (handle == NULL) return NULL;
  size_t count = store_get_trace(handle->store, NULL, 0), room = count;
  if (napi_create_arraybuffer(env, room * sizeof(uint32_t), &data, &buffer) != napi_ok) return NULL;
  /* Readers may have touched more meanwhile: those come with the next copy. */
  store_get_trace(handle->store, data, room);
  napi_create_typedarray(env, napi_uint32_array, room, buffer, 0, &result);
  return result;
}

static napi_value js_end_trace(napi_env env, napi_callback_info info) {
  struct handle *handle = unwrap(env, info, 0, NULL);
  if (handle != NULL) store_end_trace(handle->store);
  return NULL;
}

/* ---- For a successor ---- */

/* A Uint32Array with a copy of them. */
static napi_value chunk_array(napi_env env, const uint32_t *chunks, size_t count) {
  napi_value buffer, result = NULL;
  void *data;
  if (napi_create_arraybuffer(env, count * sizeof *chunks, &data, &buffer) != napi_ok) return NULL;
  if (count > 0) memcpy(data, chunks, count * sizeof *chunks);
  napi_create_typedarray(env, napi_uint32_array, count, buffer, 0, &result);
  return result;
}

static napi_value js_adopted_chunks(napi_env env, napi_callback_info info) {
  struct handle *handle = unwrap(env, info, 0, NULL);
  napi_value result;
  if (handle == NULL) return NULL;
  struct store_adopted adopted = store_get_adopted(handle->store);
  napi_value in_slots = chunk_array(env, adopted.chunks, adopted.in_slots);
  napi_value in_ram = chunk_array(env, adopted.in_ram > 0 ? adopted.chunks + adopted.in_slots : NULL, adopted.in_ram);
  if (in_slots == NULL || in_ram == NULL) return NULL;
  napi_create_object(env, &result);
  napi_set_named_property(env, result, "inSlots", in_slots);
  napi_set_named_property(env, result, "inRam", in_ram);
  return result;
}

static napi_value js_descriptors(napi_env env, napi_callback_info info) {
  struct handle *handle = unwrap(env, info, 0, NULL);
  int fds[SESSION_MAX_THREADS], count = 0;
  napi_value result, fuse;
  if (handle == NULL) return NULL;
  struct store_adoption memory = store_descriptors(handle->store);
  if (handle->session != NULL) count = session_descriptors(handle->session, fds, SESSION_MAX_THREADS);
  napi_create_object(env, &result);
  napi_set_named_property(env, result, "arena", number(env, memory.arena));
  napi_set_named_property(env, result, "ledger", number(env, memory.ledger));
  if (memory.ram >= 0) napi_set_named_property(env, result, "ram", number(env, memory.ram));
  napi_create_array_with_length(env, (size_t)count, &fuse);
  for (int i = 0; i < count; i++) napi_set_element(env, fuse, (uint32_t)i, number(env, fds[i]));
  napi_set_named_property(env, result, "fuse", fuse);
  return result;
}

static napi_value js_freeze(napi_env env, napi_callback_info info) {
  struct handle *handle = unwrap(env, info, 0, NULL);
  if (handle != NULL && !handle->closed && !handle->frozen) freeze_handle(handle);
  return NULL;
}

/* ---- The RAM file ---- */

static napi_value js_attach_ram_file(napi_env env, napi_callback_info info) {
  struct handle *handle = unwrap(env, info, 0, NULL);
  napi_value result;
  int fd;
  if (handle == NULL) return NULL;
  int error = store_attach_ram(handle->store, &fd);
  if (error != 0) {
    throw_errno(env, error, "attachRamFile");
    return NULL;
  }
  napi_create_object(env, &result);
  napi_set_named_property(env, result, "fd", number(env, fd));
  return result;
}

static napi_value js_move_to_ram(napi_env env, napi_callback_info info) {
  napi_value argument;
  uint32_t chunk;
  bool moved;
  struct handle *handle = unwrap(env, info, 1, &argument);
  if (handle == NULL || !get_chunk(env, handle, argument, &chunk)) return NULL;
  int error = store_move_to_ram(handle->store, chunk, &moved);
  if (error != 0) {
    throw_errno(env, error, "moveToRam");
    return NULL;
  }
  return boolean(env, moved);
}

static napi_value js_detach_ram_file(napi_env env, napi_callback_info info) {
  struct handle *handle = unwrap(env, info, 0, NULL);
  uint32_t holders;
  if (handle == NULL) return NULL;
  int error = store_detach_ram(handle->store, &holders);
  if (error != 0) {
    throw_errno(env, error, "detachRamFile");
    return NULL;
  }
  return number(env, holders);
}

static napi_value js_trim(napi_env env, napi_callback_info info) {
  struct handle *handle = unwrap(env, info, 0, NULL);
  int error = handle == NULL ? 0 : store_trim(handle->store);
  if (error != 0) throw_errno(env, error, "fallocate");
  return NULL;
}

struct audit {
  struct work work;
  struct handle *handle;
  uint32_t first, count;
  int64_t wrong;
};

static void audit_run(struct work *work) {
  struct audit *audit = (struct audit *)work;
  work->syscall = "auditRam";
  work->error = store_audit(audit->handle->store, audit->first, audit->count, &audit->wrong);
}

static napi_value audit_result(napi_env env, struct work *work) {
  return number(env, (double)((struct audit *)work)->wrong);
}

static void audit_done(struct work *work) { unreference(((struct audit *)work)->handle); }

static napi_value js_audit_ram(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  uint64_t first, count;
  struct handle *handle = unwrap(env, info, 2, arguments);
  if (handle == NULL || !get_integer(env, arguments[0], INT32_MAX, "first", &first) ||
      !get_integer(env, arguments[1], INT32_MAX, "count", &count))
    return NULL;
  if (count > 0 && !store_has_chunk(handle->store, first + count - 1)) {
    throw_range(env, "first + count is past the end of the image");
    return NULL;
  }
  struct audit *audit = work_new(env, sizeof *audit);
  if (audit == NULL) return NULL;
  audit->handle = handle;
  handle->references++;
  audit->first = (uint32_t)first;
  audit->count = (uint32_t)count;
  audit->work.name = "tetherfs:auditRam";
  audit->work.run = audit_run;
  audit->work.result = audit_result;
  audit->work.done = audit_done;
  return work_start(env, &audit->work);
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
  napi_value limit = property(env, object, "traceLimit");
  uint64_t trace_limit = 0;
  if (limit != NULL && !get_integer(env, limit, UINT32_MAX, "traceLimit", &trace_limit)) return false;
  options->trace_limit = (uint32_t)trace_limit;
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
      {"read", NULL, js_read, NULL, NULL, NULL, napi_enumerable, NULL},
      {"takeEvents", NULL, js_take_events, NULL, NULL, NULL, napi_enumerable, NULL},
      {"grant", NULL, js_grant, NULL, NULL, NULL, napi_enumerable, NULL},
      {"spare", NULL, js_spare, NULL, NULL, NULL, napi_enumerable, NULL},
      {"write", NULL, js_write, NULL, NULL, NULL, napi_enumerable, NULL},
      {"complete", NULL, js_complete, NULL, NULL, NULL, napi_enumerable, NULL},
      {"drop", NULL, js_drop, NULL, NULL, NULL, napi_enumerable, NULL},
      {"release", NULL, js_release, NULL, NULL, NULL, napi_enumerable, NULL},
      {"fail", NULL, js_fail, NULL, NULL, NULL, napi_enumerable, NULL},
      {"cancelReads", NULL, js_cancel_reads, NULL, NULL, NULL, napi_enumerable, NULL},
      {"mark", NULL, js_mark, NULL, NULL, NULL, napi_enumerable, NULL},
      {"tryEvict", NULL, js_try_evict, NULL, NULL, NULL, napi_enumerable, NULL},
      {"stats", NULL, js_stats, NULL, NULL, NULL, napi_enumerable, NULL},
      {"trace", NULL, js_trace, NULL, NULL, NULL, napi_enumerable, NULL},
      {"endTrace", NULL, js_end_trace, NULL, NULL, NULL, napi_enumerable, NULL},
      {"attachRamFile", NULL, js_attach_ram_file, NULL, NULL, NULL, napi_enumerable, NULL},
      {"moveToRam", NULL, js_move_to_ram, NULL, NULL, NULL, napi_enumerable, NULL},
      {"auditRam", NULL, js_audit_ram, NULL, NULL, NULL, napi_enumerable, NULL},
      {"detachRamFile", NULL, js_detach_ram_file, NULL, NULL, NULL, napi_enumerable, NULL},
      {"trim", NULL, js_trim, NULL, NULL, NULL, napi_enumerable, NULL},
      {"adoptedChunks", NULL, js_adopted_chunks, NULL, NULL, NULL, napi_enumerable, NULL},
      {"descriptors", NULL, js_descriptors, NULL, NULL, NULL, napi_enumerable, NULL},
      {"freeze", NULL, js_freeze, NULL, NULL, NULL, napi_enumerable, NULL},
      {"adoptMount", NULL, js_adopt_mount, NULL, NULL, NULL, napi_enumerable, NULL},
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

static napi_value create_store(napi_env env, napi_value argument, const struct store_adoption *adopt) {
  napi_value on_events, name;
  struct store_options options = {.adopt = adopt};
  const char *why = NULL;
  if (!get_store_options(env, argument, &options)) goto refused;
  napi_valuetype type = napi_undefined;
  on_events = property(env, argument, "onEvents");
  if (on_events != NULL) napi_typeof(env, on_events, &type);
  if (type != napi_function) {
    throw_type(env, "onEvents must be a function");
    goto refused;
  }
  struct handle *handle = calloc(1, sizeof *handle);
  if (handle == NULL) {
    throw_errno(env, ENOMEM, "malloc");
    goto refused;
  }
  pthread_mutex_init(&handle->bell_lock, NULL);
  pthread_mutex_init(&handle->reads_lock, NULL);
  SLIST_INIT(&handle->answered);
  pthread_mutex_init(&handle->session_lock, NULL);
  options.ring = ring;
  options.listener = handle;
  int error = store_create(&handle->store, &options, &why);
  if (error != 0) {
    pthread_mutex_destroy(&handle->session_lock);
    pthread_mutex_destroy(&handle->bell_lock);
    pthread_mutex_destroy(&handle->reads_lock);
    free(handle);
    if (error == STORE_NOT_FITTING)
      napi_throw_error(env, "EINVAL", why);
    else if (why != NULL)
      throw_range(env, why);
    else
      throw_errno(env, error, "createStore");
    return NULL;
  }
  napi_create_string_utf8(env, "tetherfs:events", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, on_events, NULL, name, 0, 1, NULL, NULL, handle, on_ring, &handle->bell);
  napi_unref_threadsafe_function(env, handle->bell);
  return wrap_store(env, handle);

refused:
  if (adopt != NULL) {
    close(adopt->arena);
    close(adopt->ledger);
    if (adopt->ram >= 0) close(adopt->ram);
  }
  return NULL;
}

static napi_value js_create_store(napi_env env, napi_callback_info info) {
  napi_value argument, adopt = NULL;
  size_t count = 1;
  uint64_t arena, ledger, ram = 0;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  if (is_object(env, argument)) adopt = property(env, argument, "adopt");
  if (adopt == NULL) return create_store(env, argument, NULL);
  if (!is_object(env, adopt)) {
    throw_type(env, "adopt must be an object");
    return NULL;
  }
  if (!get_property_integer(env, adopt, "arenaFd", INT32_MAX, &arena) ||
      !get_property_integer(env, adopt, "ledgerFd", INT32_MAX, &ledger))
    return NULL;
  napi_value ram_fd = property(env, adopt, "ramFd");
  if (ram_fd != NULL && !get_integer(env, ram_fd, INT32_MAX, "ramFd", &ram)) return NULL;
  struct store_adoption adoption = {(int)arena, (int)ledger, ram_fd == NULL ? -1 : (int)ram};
  return create_store(env, argument, &adoption);
}

NAPI_MODULE_INIT() {
  const napi_property_descriptor functions[] = {
      {"createStore", NULL, js_create_store, NULL, NULL, NULL, napi_enumerable, NULL},
      {"dropPages", NULL, js_drop_pages, NULL, NULL, NULL, napi_enumerable, NULL},
      {"xts", NULL, js_xts, NULL, NULL, NULL, napi_enumerable, NULL},
      {"crypt", NULL, js_crypt, NULL, NULL, NULL, napi_enumerable, NULL},
      {"unmount", NULL, js_unmount, NULL, NULL, NULL, napi_enumerable, NULL},
      {"closeOnExec", NULL, js_close_on_exec, NULL, NULL, NULL, napi_enumerable, NULL},
      {"mountFilesystem", NULL, js_mount_filesystem, NULL, NULL, NULL, napi_enumerable, NULL},
      {"loopAttach", NULL, js_loop_attach, NULL, NULL, NULL, napi_enumerable, NULL},
      {"joinRoot", NULL, js_join_root, NULL, NULL, NULL, napi_enumerable, NULL},
      {"reachTopRoot", NULL, js_reach_top_root, NULL, NULL, NULL, napi_enumerable, NULL},
      {"shedLimits", NULL, js_shed_limits, NULL, NULL, NULL, napi_enumerable, NULL},
      {"loopStatus", NULL, js_loop_status, NULL, NULL, NULL, napi_enumerable, NULL},
      {"loopChangeFile", NULL, js_loop_change_file, NULL, NULL, NULL, napi_enumerable, NULL},
      {"notifyServiceManager", NULL, js_notify_service_manager, NULL, NULL, NULL, napi_enumerable, NULL},
      {"sendDescriptors", NULL, js_send_descriptors, NULL, NULL, NULL, napi_enumerable, NULL},
      {"openDescriptorInbox", NULL, js_open_descriptor_inbox, NULL, NULL, NULL, napi_enumerable, NULL},
      {"takeListenedDescriptors", NULL, js_take_listened_descriptors, NULL, NULL, NULL, napi_enumerable, NULL},
      {"writeMemfd", NULL, js_write_memfd, NULL, NULL, NULL, napi_enumerable, NULL},
      {"readMemfd", NULL, js_read_memfd, NULL, NULL, NULL, napi_enumerable, NULL},
      {"closeDescriptors", NULL, js_close_descriptors, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_define_properties(env, exports, sizeof functions / sizeof functions[0], functions);
  return exports;
}
