/*
 * See addon_reads.h. The store answers a read on the thread that had its last chunk, or on the spot: there the bytes are copied, and the
 * read is put on the handle's list of answered ones; the bell then has its promise settled on the JavaScript thread.
 */
#include "addon_reads.h"

#include "addon_values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct js_read {
  struct reply_to reply_to; /* first: the store hands it back */
  struct handle *handle;
  napi_deferred deferred;
  napi_ref keep; /* the bytes, which JavaScript may have forgotten */
  uint8_t *bytes;
  size_t count; /* how many were read */
  int error;
  SLIST_ENTRY(js_read) answered;
};

static void reply_to_js(struct reply_to *to, uint64_t unique, int error, struct iovec *iov, int count, size_t bytes) {
  struct js_read *read = (struct js_read *)to;
  struct handle *handle = read->handle;
  uint8_t *at = read->bytes;
  (void)unique;
  for (int i = 1; i < count && error == 0; i++) {
    memcpy(at, iov[i].iov_base, iov[i].iov_len);
    at += iov[i].iov_len;
  }
  read->error = error;
  read->count = bytes;
  pthread_mutex_lock(&handle->reads_lock);
  SLIST_INSERT_HEAD(&handle->answered, read, answered);
  pthread_mutex_unlock(&handle->reads_lock);
  /* From here on the JavaScript thread may free it. */
  ring(handle);
}

void settle_reads(napi_env env, struct handle *handle) {
  for (;;) {
    pthread_mutex_lock(&handle->reads_lock);
    struct js_read *read = SLIST_FIRST(&handle->answered);
    if (read != NULL) SLIST_REMOVE_HEAD(&handle->answered, answered);
    pthread_mutex_unlock(&handle->reads_lock);
    if (read == NULL) return;
    if (read->error != 0)
      napi_reject_deferred(env, read->deferred, errno_object(env, read->error, "read"));
    else
      napi_resolve_deferred(env, read->deferred, number(env, (double)read->count));
    napi_delete_reference(env, read->keep);
    unreference(read->handle);
    free(read);
  }
}

napi_value js_read(napi_env env, napi_callback_info info) {
  napi_value arguments[2], promise;
  uint64_t offset;
  uint8_t *bytes;
  size_t count;
  struct handle *handle = unwrap(env, info, 2, arguments);
  if (handle == NULL || !get_integer(env, arguments[0], MAX_SAFE_INTEGER, "offset", &offset) ||
      !get_bytes(env, arguments[1], "bytes", &bytes, &count))
    return NULL;
  if (count > STORE_MAX_READ_BYTES) {
    throw_range(env, "a read has at most 1048576 bytes");
    return NULL;
  }
  struct js_read *read = calloc(1, sizeof *read);
  if (read == NULL || napi_create_reference(env, arguments[1], 1, &read->keep) != napi_ok) {
    free(read);
    throw_errno(env, ENOMEM, "malloc");
    return NULL;
  }
  napi_create_promise(env, &read->deferred, &promise);
  read->reply_to.reply = reply_to_js;
  read->handle = handle;
  read->bytes = bytes;
  handle->references++;
  /* Nobody interrupts these: all have one number. */
  store_read(handle->store, &read->reply_to, 0, offset, (uint32_t)count);
  /* Answered on the spot, most of all. */
  settle_reads(env, handle);
  return promise;
}
