/* See addon_system.h. */
#include "addon_system.h"

#include "addon_work.h"
#include "drop_pages.h"
#include "inherited.h"
#include "loop.h"
#include "top_root.h"
#include "xts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

napi_value js_xts(napi_env env, napi_callback_info info) {
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

/* ---- Unmount ---- */

struct unmount {
  struct work work;
  int flags;
  char mountpoint[MAX_PATH_BYTES];
};

static void unmount_run(struct work *work) {
  const struct unmount *unmount = (const struct unmount *)work;
  work->syscall = "umount2";
  work->error = umount2(unmount->mountpoint, unmount->flags) == 0 ? 0 : errno;
}

napi_value js_unmount(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t count = 2;
  char mode[16];
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct unmount *unmount = work_new(env, sizeof *unmount);
  if (unmount == NULL) return NULL;
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
  unmount->work.name = "tetherfs:unmount";
  unmount->work.run = unmount_run;
  return work_start(env, &unmount->work);
}

/* ---- Page cache ---- */

struct page_drop {
  struct work work;
  char mountpoint[MAX_PATH_BYTES], name[256];
  uint64_t major, minor;
};

static void page_drop_run(struct work *work) {
  const struct page_drop *drop = (const struct page_drop *)work;
  work->syscall = "fadvise";
  work->error = drop_pages(drop->mountpoint, drop->name, (unsigned)drop->major, (unsigned)drop->minor);
}

napi_value js_drop_pages(napi_env env, napi_callback_info info) {
  napi_value argument, device;
  size_t count = 1;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  if (!is_object(env, argument) || (device = property(env, argument, "device")) == NULL || !is_object(env, device)) {
    throw_type(env, "a mounted file and its device must be objects");
    return NULL;
  }
  struct page_drop *drop = work_new(env, sizeof *drop);
  if (drop == NULL) return NULL;
  if (!get_property_text(env, argument, "mountpoint", drop->mountpoint, sizeof drop->mountpoint) ||
      !get_property_text(env, argument, "fileName", drop->name, sizeof drop->name) ||
      !get_property_integer(env, device, "major", UINT32_MAX, &drop->major) ||
      !get_property_integer(env, device, "minor", UINT32_MAX, &drop->minor)) {
    free(drop);
    return NULL;
  }
  drop->work.name = "tetherfs:dropPages";
  drop->work.run = page_drop_run;
  return work_start(env, &drop->work);
}

/* ---- Mount ---- */

#define MAX_DATA_BYTES 4096

struct filesystem {
  struct work work;
  bool read_only;
  char source[MAX_PATH_BYTES], target[MAX_PATH_BYTES], type[64], data[MAX_DATA_BYTES];
};

static void filesystem_run(struct work *work) {
  const struct filesystem *filesystem = (const struct filesystem *)work;
  work->syscall = "mount";
  work->error = mount(filesystem->source, filesystem->target, filesystem->type, filesystem->read_only ? MS_RDONLY : 0, filesystem->data) == 0 ? 0 : errno;
}

napi_value js_mount_filesystem(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t count = 1;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  if (!is_object(env, argument)) {
    throw_type(env, "a file system must be an object");
    return NULL;
  }
  struct filesystem *filesystem = work_new(env, sizeof *filesystem);
  if (filesystem == NULL) return NULL;
  if (!get_property_text(env, argument, "source", filesystem->source, sizeof filesystem->source) ||
      !get_property_text(env, argument, "target", filesystem->target, sizeof filesystem->target) ||
      !get_property_text(env, argument, "type", filesystem->type, sizeof filesystem->type) ||
      (property(env, argument, "data") != NULL && !get_property_text(env, argument, "data", filesystem->data, sizeof filesystem->data)) ||
      !get_property_boolean(env, argument, "readOnly", &filesystem->read_only)) {
    free(filesystem);
    return NULL;
  }
  filesystem->work.name = "tetherfs:mountFilesystem";
  filesystem->work.run = filesystem_run;
  return work_start(env, &filesystem->work);
}

/* ---- What was inherited ---- */

napi_value js_close_on_exec(napi_env env, napi_callback_info info) {
  (void)info;
  int error = inherited_close_on_exec();
  if (error != 0) throw_errno(env, error, "open /proc/self/fd");
  return NULL;
}

napi_value js_reach_top_root(napi_env env, napi_callback_info info) {
  (void)env, (void)info;
  top_root_reach();
  return NULL;
}

napi_value js_join_root(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t count = 2;
  uint64_t pid;
  char keep[MAX_PATH_BYTES];
  const char *syscall = "";
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  if (!get_integer(env, arguments[0], INT32_MAX, "pid", &pid) || !get_text(env, arguments[1], "keep", keep, sizeof keep)) return NULL;
  int error = top_root_join((pid_t)pid, keep, &syscall);
  if (error != 0) throw_errno(env, error, syscall);
  return NULL;
}

napi_value js_shed_limits(napi_env env, napi_callback_info info) {
  (void)env, (void)info;
  inherited_shed_limits();
  return NULL;
}

/* ---- Loop devices ---- */

struct loop_question {
  struct work work;
  char device[MAX_PATH_BYTES];
  struct loop_status status;
};

static void loop_status_run(struct work *work) {
  struct loop_question *question = (struct loop_question *)work;
  work->error = loop_get_status(question->device, &question->status, &work->syscall);
}

static napi_value loop_status_result(napi_env env, struct work *work) {
  const struct loop_status *status = &((const struct loop_question *)work)->status;
  napi_value result;
  napi_create_object(env, &result);
  napi_set_named_property(env, result, "major", number(env, status->major));
  napi_set_named_property(env, result, "minor", number(env, status->minor));
  napi_set_named_property(env, result, "inode", number(env, (double)status->inode));
  napi_set_named_property(env, result, "readOnly", boolean(env, status->read_only));
  napi_set_named_property(env, result, "directIo", boolean(env, status->direct_io));
  return result;
}

napi_value js_loop_status(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t count = 1;
  napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
  struct loop_question *question = work_new(env, sizeof *question);
  if (question == NULL) return NULL;
  if (!get_text(env, argument, "device", question->device, sizeof question->device)) {
    free(question);
    return NULL;
  }
  question->work.name = "tetherfs:loopStatus";
  question->work.run = loop_status_run;
  question->work.result = loop_status_result;
  return work_start(env, &question->work);
}

struct loop_change {
  struct work work;
  int fd;
  char device[MAX_PATH_BYTES];
};

static void loop_change_run(struct work *work) {
  const struct loop_change *change = (const struct loop_change *)work;
  work->error = loop_change_file(change->device, change->fd, &work->syscall);
}

static void loop_change_done(struct work *work) {
  const struct loop_change *change = (const struct loop_change *)work;
  close(change->fd);
}

napi_value js_loop_change_file(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t count = 2;
  uint64_t fd;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct loop_change *change = work_new(env, sizeof *change);
  if (change == NULL) return NULL;
  if (!get_text(env, arguments[0], "device", change->device, sizeof change->device) ||
      !get_integer(env, arguments[1], INT32_MAX, "fd", &fd)) {
    free(change);
    return NULL;
  }
  /* Its own: while this waits for a thread the caller may close the number, and another file may get it. */
  change->fd = fcntl((int)fd, F_DUPFD_CLOEXEC, 0);
  if (change->fd < 0) {
    throw_errno(env, errno, "fcntl");
    free(change);
    return NULL;
  }
  change->work.name = "tetherfs:loopChangeFile";
  change->work.run = loop_change_run;
  change->work.done = loop_change_done;
  return work_start(env, &change->work);
}

struct loop_attachment {
  struct work work;
  int fd;
  struct loop_part part;
  char path[MAX_PATH_BYTES], device[LOOP_NAME_BYTES];
};

static void loop_attach_run(struct work *work) {
  struct loop_attachment *attachment = (struct loop_attachment *)work;
  work->error = loop_attach(attachment->path, attachment->part, attachment->device, &attachment->fd, &work->syscall);
}

static napi_value loop_attach_result(napi_env env, struct work *work) {
  const struct loop_attachment *attachment = (const struct loop_attachment *)work;
  napi_value result, device;
  napi_create_object(env, &result);
  napi_create_string_utf8(env, attachment->device, NAPI_AUTO_LENGTH, &device);
  napi_set_named_property(env, result, "device", device);
  napi_set_named_property(env, result, "fd", number(env, attachment->fd));
  return result;
}

napi_value js_loop_attach(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  size_t count = 3;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct loop_attachment *attachment = work_new(env, sizeof *attachment);
  if (attachment == NULL) return NULL;
  if (!get_text(env, arguments[0], "path", attachment->path, sizeof attachment->path) ||
      !get_integer(env, arguments[1], MAX_SAFE_INTEGER, "offset", &attachment->part.offset) ||
      !get_integer(env, arguments[2], MAX_SAFE_INTEGER, "size", &attachment->part.size)) {
    free(attachment);
    return NULL;
  }
  attachment->work.name = "tetherfs:loopAttach";
  attachment->work.run = loop_attach_run;
  attachment->work.result = loop_attach_result;
  return work_start(env, &attachment->work);
}
