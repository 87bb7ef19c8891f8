/*
 * Sessions of a store: mounting, going on with the mount of another process, and the methods of the session object. See addon.c.
 */
#include "addon_store.h"
#include "addon_values.h"
#include "addon_work.h"
#include "fuse_protocol.h"
#include "mount.h"
#include "notify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* ---- Methods of a session ---- */

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
  napi_set_named_property(env, result, "passthrough", boolean(env, handle->protocol.backing != 0));
  napi_set_named_property(env, result, "backingId", number(env, handle->protocol.backing));
  napi_set_named_property(env, result, "resend", boolean(env, handle->protocol.resend));
  return result;
}

struct pause {
  struct work work;
  struct handle *handle;
};

static void pause_run(struct work *work) {
  struct handle *handle = ((struct pause *)work)->handle;
  pthread_mutex_lock(&handle->session_lock);
  if (handle->session != NULL) session_pause(handle->session);
  pthread_mutex_unlock(&handle->session_lock);
}

static void pause_done(struct work *work) {
  struct handle *handle = ((struct pause *)work)->handle;
  handle->pauses--;
  unreference(handle);
}

static napi_value js_pause(napi_env env, napi_callback_info info) {
  void *data = NULL;
  napi_get_cb_info(env, info, NULL, NULL, NULL, &data);
  struct pause *pause = work_new(env, sizeof *pause);
  if (pause == NULL) return NULL;
  pause->handle = data;
  pause->handle->references++;
  pause->handle->pauses++;
  pause->work.name = "tetherfs:pause";
  pause->work.run = pause_run;
  pause->work.done = pause_done;
  return work_start(env, &pause->work);
}

static napi_value js_resume(napi_env env, napi_callback_info info) {
  void *data = NULL;
  napi_get_cb_info(env, info, NULL, NULL, NULL, &data);
  struct handle *handle = data;
  if (handle->pauses > 0 || handle->frozen) {
    napi_throw_error(env, "ERR_INVALID_STATE", handle->frozen ? "the store is frozen" : "a pause is under way");
    return NULL;
  }
  int error = handle->session == NULL ? 0 : session_resume(handle->session);
  if (error != 0) throw_errno(env, error, "pthread_create");
  return NULL;
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
  /* The kernel asks at once. Then what protocol() says is settled when mount() returns. */
  session_wait_for_init(session);
  return 0;
}

/* A method of the session object. It holds the handle, so that it can be called when the store object is gone. */
static void add_session_method(napi_env env, napi_value object, struct handle *handle, const char *name,
                               napi_callback method) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, method, handle, &function);
  handle->references++;
  napi_add_finalizer(env, function, handle, on_collected, NULL, NULL);
  napi_set_named_property(env, object, name, function);
}

static napi_value session_object(napi_env env, struct handle *handle) {
  napi_value result, device;
  napi_create_object(env, &result);
  napi_create_object(env, &device);
  napi_set_named_property(env, device, "major", number(env, handle->device_major));
  napi_set_named_property(env, device, "minor", number(env, handle->device_minor));
  napi_set_named_property(env, result, "device", device);
  add_session_method(env, result, handle, "protocol", js_protocol);
  add_session_method(env, result, handle, "pause", js_pause);
  add_session_method(env, result, handle, "resume", js_resume);
  return result;
}

/* Whether the page cache is to be used, of the option's two words. */
static bool get_page_cache(napi_env env, napi_value options, bool *none) {
  char text[8];
  if (!get_property_text(env, options, "pageCache", text, sizeof text)) return false;
  *none = strcmp(text, "none") == 0;
  if (*none || strcmp(text, "keep") == 0) return true;
  throw_range(env, "pageCache must be 'keep' or 'none'");
  return false;
}

/* What mount() and adoptMount() have in common. False: an exception is pending. */
static bool get_session_options(napi_env env, const struct handle *handle, napi_value options, uint64_t *threads,
                                char name[SESSION_MAX_NAME_BYTES + 1], struct session_options *session) {
  uint64_t mtime;
  if (!get_property_text(env, options, "fileName", name, SESSION_MAX_NAME_BYTES + 1) ||
      !get_property_integer(env, options, "threads", SESSION_MAX_THREADS, threads) ||
      !get_property_integer(env, options, "mtime", MAX_SAFE_INTEGER, &mtime) ||
      !get_page_cache(env, options, &session->no_page_cache))
    return false;
  if (*threads == 0) {
    throw_range(env, "threads must be an integer from 1 to 16");
    return false;
  }
  if (strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
    throw_range(env, "fileName must not be a path");
    return false;
  }
  if (handle->mounted || handle->frozen || handle->closed) {
    napi_throw_error(env, "ERR_INVALID_STATE",
                     handle->closed   ? "the store is closed"
                     : handle->frozen ? "the store is frozen"
                                      : "the store is mounted already");
    return false;
  }
  session->file_name = name;
  session->mtime = (int64_t)mtime;
  return true;
}

napi_value js_mount(napi_env env, napi_callback_info info) {
  napi_value options;
  char mountpoint[MAX_PATH_BYTES], source[MAX_PATH_BYTES], name[SESSION_MAX_NAME_BYTES + 1];
  uint64_t threads;
  struct session_options session = {0};
  const char *syscall = "";
  struct handle *handle = unwrap(env, info, 1, &options);
  if (handle == NULL) return NULL;
  if (!is_object(env, options)) {
    throw_type(env, "options must be an object");
    return NULL;
  }
  if (!get_property_text(env, options, "mountpoint", mountpoint, sizeof mountpoint) ||
      !get_property_text(env, options, "source", source, sizeof source) ||
      !get_property_boolean(env, options, "passthrough", &session.passthrough) ||
      !get_session_options(env, handle, options, &threads, name, &session))
    return NULL;
  if (mountpoint[0] != '/') {
    throw_range(env, "mountpoint must be an absolute path");
    return NULL;
  }
  /* The kernel would read zeros where chunks are missing. */
  if (session.passthrough && !store_is_in_ram(handle->store)) {
    napi_throw_error(env, "ERR_INVALID_STATE", "passthrough needs the whole image in a RAM file");
    return NULL;
  }
  int error = start_session(handle, mountpoint, source, threads, &session, &syscall);
  if (error == 0) error = fuse_device(mountpoint, &handle->device_major, &handle->device_minor, &syscall);
  if (error != 0) {
    throw_errno(env, error, syscall);
    return NULL;
  }
  return session_object(env, handle);
}

/* ---- Going on with another process's session ---- */

struct adopted {
  int fds[NOTIFY_MAX_FDS];
  uint32_t count;
  struct session_protocol protocol;
  uint64_t device_major, device_minor;
};

static void close_all(const int *fds, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) close(fds[i]);
}

/* The clones of a session's first descriptor, up to `threads` in all. 0 or an errno. */
static int add_clones(struct session *session, int original, uint64_t threads, const char **syscall) {
  int fd;
  for (uint64_t have = (uint64_t)session_descriptors(session, NULL, 0); have < threads; have++) {
    int error = fuse_clone(original, &fd, syscall);
    if (error != 0) return error;
    session_add(session, fd);
  }
  return 0;
}

/*
 * Gives the session its descriptors. With resend the adopted ones: what was read through them comes again, to any. Without, an answer to
 * what was read through them is owed for ever; so they are closed, which ends those requests, and clones take their place.
 * Takes all descriptors; 0 or an errno.
 */
static int adopt_descriptors(struct session *session, const struct adopted *adopted, uint64_t threads, bool *resend,
                             const char **syscall) {
  uint32_t kept = 0;
  int error = 0;
  for (uint32_t i = 0; i < adopted->count && error == 0; i++) error = fuse_check(adopted->fds[i], syscall);
  if (error == 0 && *resend) {
    error = fuse_resend(adopted->fds[0], syscall);
    /* Another kernel than the one that INIT was with cannot be; but a protocol from elsewhere can. */
    if (error == EINVAL) *resend = false, error = 0;
  }
  if (error == 0 && *resend)
    for (; kept < adopted->count && kept < SESSION_MAX_THREADS; kept++) session_add(session, adopted->fds[kept]);
  if (error == 0) error = add_clones(session, adopted->fds[0], threads, syscall);
  close_all(adopted->fds + kept, adopted->count - kept);
  return error;
}

static int adopt_session(struct handle *handle, struct adopted *adopted, uint64_t threads,
                         const struct session_options *options, const char **syscall) {
  struct session *session = session_new(handle->store, options);
  if (session == NULL) {
    close_all(adopted->fds, adopted->count);
    *syscall = "malloc";
    return ENOMEM;
  }
  int error = adopt_descriptors(session, adopted, threads, &adopted->protocol.resend, syscall);
  if (error == 0) {
    session_adopt(session, adopted->protocol);
    *syscall = "pthread_create";
    error = session_run(session);
  }
  if (error != 0) {
    session_stop(session);
    session_free(session);
    return error;
  }
  handle->session = session;
  handle->mounted = true;
  return 0;
}

static bool get_adopted(napi_env env, napi_value options, struct adopted *adopted) {
  napi_value protocol = property(env, options, "protocol"), device = property(env, options, "device");
  uint64_t major, minor, max_read, backing;
  bool passthrough;
  if (protocol == NULL || !is_object(env, protocol) || device == NULL || !is_object(env, device)) {
    throw_type(env, "protocol and device must be objects");
    return false;
  }
  if (!get_property_integer(env, protocol, "major", UINT32_MAX, &major) ||
      !get_property_integer(env, protocol, "minor", UINT32_MAX, &minor) ||
      !get_property_integer(env, protocol, "maxReadBytes", UINT32_MAX, &max_read) ||
      !get_property_boolean(env, protocol, "passthrough", &passthrough) ||
      !get_property_integer(env, protocol, "backingId", INT32_MAX, &backing) ||
      !get_property_boolean(env, protocol, "resend", &adopted->protocol.resend) ||
      !get_property_integer(env, device, "major", UINT32_MAX, &adopted->device_major) ||
      !get_property_integer(env, device, "minor", UINT32_MAX, &adopted->device_minor))
    return false;
  if (adopted->count == 0 || major != PROTOCOL_MAJOR || minor < PROTOCOL_OLDEST_MINOR || minor > PROTOCOL_NEWEST_MINOR ||
      max_read == 0 || max_read > STORE_MAX_READ_BYTES || passthrough != (backing != 0)) {
    napi_throw_error(env, "EINVAL", adopted->count == 0 ? "there is no descriptor to adopt" : "not a protocol that was settled");
    return false;
  }
  adopted->protocol.major = (uint32_t)major;
  adopted->protocol.minor = (uint32_t)minor;
  adopted->protocol.max_read_bytes = (uint32_t)max_read;
  adopted->protocol.backing = (uint32_t)backing;
  return true;
}

napi_value js_adopt_mount(napi_env env, napi_callback_info info) {
  napi_value options;
  char name[SESSION_MAX_NAME_BYTES + 1];
  uint64_t threads;
  struct session_options session = {0};
  struct adopted adopted = {0};
  size_t count = 0;
  const char *syscall = "";
  struct handle *handle = unwrap(env, info, 1, &options);
  if (handle == NULL) return NULL;
  if (!is_object(env, options)) {
    throw_type(env, "options must be an object");
    return NULL;
  }
  if (!get_descriptors(env, property(env, options, "fuseFds"), "fuseFds", adopted.fds, NOTIFY_MAX_FDS, &count)) return NULL;
  adopted.count = (uint32_t)count;
  if (!get_adopted(env, options, &adopted) || !get_session_options(env, handle, options, &threads, name, &session)) {
    close_all(adopted.fds, adopted.count);
    return NULL;
  }
  int error = adopt_session(handle, &adopted, threads, &session, &syscall);
  if (error != 0) {
    throw_errno(env, error, syscall);
    return NULL;
  }
  handle->device_major = (uint32_t)adopted.device_major;
  handle->device_minor = (uint32_t)adopted.device_minor;
  return session_object(env, handle);
}
