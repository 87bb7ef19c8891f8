/* See addon_takeover.h. */
#include "addon_takeover.h"

#include "addon_work.h"
#include "inbox.h"
#include "memfd.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The array of descriptors `value`, or none when it is undefined. */
static bool get_optional(napi_env env, napi_value value, int *fds, size_t *count) {
  napi_valuetype type;
  *count = 0;
  if (napi_typeof(env, value, &type) == napi_ok && type == napi_undefined) return true;
  return get_descriptors(env, value, "fds", fds, NOTIFY_MAX_FDS, count);
}

static napi_value array_of(napi_env env, const int *fds, size_t count) {
  napi_value result;
  napi_create_array_with_length(env, count, &result);
  for (size_t i = 0; i < count; i++) napi_set_element(env, result, (uint32_t)i, number(env, fds[i]));
  return result;
}

/* ---- Sending ---- */

napi_value js_notify_service_manager(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t argument_count = 2, count;
  char state[INBOX_STATE_BYTES];
  int fds[NOTIFY_MAX_FDS];
  napi_get_cb_info(env, info, &argument_count, arguments, NULL, NULL);
  if (!get_text(env, arguments[0], "state", state, sizeof state) || !get_optional(env, arguments[1], fds, &count)) return NULL;
  return boolean(env, notify_service_manager(state, fds, count));
}

napi_value js_send_descriptors(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  size_t argument_count = 3, count;
  char address[MAX_PATH_BYTES], state[INBOX_STATE_BYTES];
  int fds[NOTIFY_MAX_FDS];
  napi_get_cb_info(env, info, &argument_count, arguments, NULL, NULL);
  if (!get_text(env, arguments[0], "address", address, sizeof address) ||
      !get_text(env, arguments[1], "state", state, sizeof state) ||
      !get_descriptors(env, arguments[2], "fds", fds, NOTIFY_MAX_FDS, &count))
    return NULL;
  int error = notify_send(address, state, strlen(state), fds, count);
  if (error != 0) throw_errno(env, error, "sendmsg");
  return NULL;
}

/* ---- The inbox ---- */

struct inbox {
  int fd;
  int references; /* its object and a call that waits; JavaScript thread only */
  bool waiting;
  atomic_bool closed;
  char path[MAX_PATH_BYTES];
};

struct take {
  struct work work;
  struct inbox *inbox;
  int timeout_ms;
  bool taken;
  struct inbox_message message;
};

static const napi_type_tag INBOX_TAG = {0x4c1d7be20a9f4361ULL, 0xa5e8036b92c74fd1ULL};

static void close_inbox(struct inbox *inbox) {
  if (inbox->closed) return;
  inbox->closed = true;
  unlink(inbox->path);
  shutdown(inbox->fd, SHUT_RD); /* whoever waits for it waits no more */
}

static void unreference_inbox(struct inbox *inbox) {
  if (--inbox->references > 0) return;
  close_inbox(inbox);
  close(inbox->fd);
  free(inbox);
}

static void inbox_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  unreference_inbox(data);
}

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void take_run(struct work *work) {
  struct take *take = (struct take *)work;
  int64_t until = now_ms() + take->timeout_ms;
  work->syscall = "recvmsg";
  for (;;) {
    int error = inbox_take(take->inbox->fd, &take->message, 0);
    if (error == 0) {
      take->taken = true;
      return;
    }
    /* Of a socket that was shut down the kernel gives nothing, from nobody, without end. */
    if (atomic_load(&take->inbox->closed)) return;
    if (error == EPERM || error == EBADMSG || error == EINTR) continue;
    if (error != EAGAIN) {
      work->error = error;
      return;
    }
    int64_t left = until - now_ms();
    struct pollfd poller = {.fd = take->inbox->fd, .events = POLLIN};
    if (left <= 0) return;
    if (poll(&poller, 1, (int)left) < 0 && errno != EINTR) {
      work->error = errno;
      return;
    }
  }
}

static napi_value take_result(napi_env env, struct work *work) {
  struct take *take = (struct take *)work;
  napi_value result, state;
  napi_get_undefined(env, &result);
  if (!take->taken) return result;
  take->taken = false; /* its descriptors are JavaScript's now */
  napi_create_object(env, &result);
  napi_create_string_utf8(env, take->message.state, take->message.state_bytes, &state);
  napi_set_named_property(env, result, "state", state);
  napi_set_named_property(env, result, "fds", array_of(env, take->message.fds, take->message.fd_count));
  napi_set_named_property(env, result, "pid", number(env, take->message.pid));
  napi_set_named_property(env, result, "uid", number(env, take->message.uid));
  return result;
}

static void take_done(struct work *work) {
  struct take *take = (struct take *)work;
  if (take->taken)
    for (size_t i = 0; i < take->message.fd_count; i++) close(take->message.fds[i]);
  take->inbox->waiting = false;
  unreference_inbox(take->inbox);
}

static struct inbox *unwrap_inbox(napi_env env, napi_callback_info info, size_t count, napi_value *arguments) {
  napi_value self;
  bool is_inbox = false;
  void *inbox = NULL;
  if (napi_get_cb_info(env, info, &count, arguments, &self, NULL) == napi_ok &&
      napi_check_object_type_tag(env, self, &INBOX_TAG, &is_inbox) == napi_ok && is_inbox &&
      napi_unwrap(env, self, &inbox) == napi_ok)
    return inbox;
  throw_type(env, "not a descriptor inbox");
  return NULL;
}

static napi_value js_inbox_next(napi_env env, napi_callback_info info) {
  napi_value argument;
  uint64_t timeout_ms;
  struct inbox *inbox = unwrap_inbox(env, info, 1, &argument);
  if (inbox == NULL || !get_integer(env, argument, INT32_MAX, "timeoutMs", &timeout_ms)) return NULL;
  if (inbox->waiting || inbox->closed) {
    napi_throw_error(env, "ERR_INVALID_STATE", inbox->closed ? "the inbox is closed" : "another call waits");
    return NULL;
  }
  struct take *take = work_new(env, sizeof *take);
  if (take == NULL) return NULL;
  take->inbox = inbox;
  inbox->references++;
  inbox->waiting = true;
  take->timeout_ms = (int)timeout_ms;
  take->work.name = "tetherfs:inbox";
  take->work.run = take_run;
  take->work.result = take_result;
  take->work.done = take_done;
  return work_start(env, &take->work);
}

static napi_value js_inbox_close(napi_env env, napi_callback_info info) {
  struct inbox *inbox = unwrap_inbox(env, info, 0, NULL);
  struct inbox_message *message;
  if (inbox == NULL || inbox->closed) return NULL;
  close_inbox(inbox);
  /* What nobody takes is not to stay open until the object is collected: a lost connection's last copy may be among it. */
  message = inbox->waiting ? NULL : malloc(sizeof *message);
  while (message != NULL && inbox_take(inbox->fd, message, 0) == 0)
    for (size_t i = 0; i < message->fd_count; i++) close(message->fds[i]);
  free(message);
  return NULL;
}

napi_value js_open_descriptor_inbox(napi_env env, napi_callback_info info) {
  const napi_property_descriptor methods[] = {
      {"next", NULL, js_inbox_next, NULL, NULL, NULL, napi_enumerable, NULL},
      {"close", NULL, js_inbox_close, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  napi_value argument, object;
  size_t count = 1;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  struct inbox *inbox = work_new(env, sizeof *inbox);
  if (inbox == NULL) return NULL;
  if (!get_text(env, argument, "path", inbox->path, sizeof inbox->path)) {
    free(inbox);
    return NULL;
  }
  int error = inbox_open(inbox->path, &inbox->fd);
  if (error != 0) {
    free(inbox);
    throw_errno(env, error, "bind");
    return NULL;
  }
  inbox->references = 1;
  napi_create_object(env, &object);
  napi_define_properties(env, object, sizeof methods / sizeof methods[0], methods);
  napi_type_tag_object(env, object, &INBOX_TAG);
  napi_wrap(env, object, inbox, inbox_collected, NULL, NULL);
  return object;
}

/* ---- What the service manager handed us ---- */

struct listing {
  napi_env env;
  napi_value array;
  uint32_t count;
};

static void add_listened(void *context, int fd, const char *name) {
  struct listing *listing = context;
  napi_value entry, text;
  napi_create_object(listing->env, &entry);
  napi_create_string_utf8(listing->env, name, NAPI_AUTO_LENGTH, &text);
  napi_set_named_property(listing->env, entry, "name", text);
  napi_set_named_property(listing->env, entry, "fd", number(listing->env, fd));
  napi_set_element(listing->env, listing->array, listing->count++, entry);
}

napi_value js_take_listened_descriptors(napi_env env, napi_callback_info info) {
  struct listing listing = {.env = env};
  (void)info;
  napi_create_array(env, &listing.array);
  inbox_listened(add_listened, &listing);
  return listing.array;
}

/* ---- memfds ---- */

napi_value js_write_memfd(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t count = 2, bytes;
  char name[200];
  uint8_t *data;
  int fd;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  if (!get_text(env, arguments[0], "name", name, sizeof name) || !get_bytes(env, arguments[1], "bytes", &data, &bytes)) return NULL;
  int error = memfd_of_bytes(name, data, bytes, &fd);
  if (error == 0) return number(env, fd);
  throw_errno(env, error, "memfd_create");
  return NULL;
}

napi_value js_read_memfd(napi_env env, napi_callback_info info) {
  napi_value arguments[2], result = NULL;
  size_t count = 2, bytes;
  uint64_t fd, most;
  void *data;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  if (!get_integer(env, arguments[0], INT32_MAX, "fd", &fd) ||
      !get_integer(env, arguments[1], INT32_MAX, "maxBytes", &most))
    return NULL;
  int error = memfd_sealed_bytes((int)fd, most, &bytes);
  if (error == 0 && napi_create_buffer(env, bytes, &data, &result) != napi_ok) return NULL;
  if (error == 0 && bytes > 0) error = memfd_read((int)fd, data, bytes);
  if (error == 0) return result;
  throw_errno(env, error, "readMemfd");
  return NULL;
}

napi_value js_close_descriptors(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t argument_count = 1, count;
  int fds[1024];
  napi_get_cb_info(env, info, &argument_count, &argument, NULL, NULL);
  if (!get_descriptors(env, argument, "fds", fds, sizeof fds / sizeof fds[0], &count)) return NULL;
  for (size_t i = 0; i < count; i++) close(fds[i]);
  return NULL;
}
