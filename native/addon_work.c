/* See addon_work.h. */
#include "addon_work.h"

#include <errno.h>
#include <stdlib.h>

static void on_execute(napi_env env, void *data) {
  struct work *work = data;
  (void)env;
  work->run(work);
}

static void on_complete(napi_env env, napi_status status, void *data) {
  struct work *work = data;
  napi_value value;
  if (status != napi_ok) work->error = ECANCELED;
  if (work->error != 0) {
    napi_reject_deferred(env, work->deferred, errno_object(env, work->error, work->syscall));
  } else {
    if (work->result == NULL)
      napi_get_undefined(env, &value);
    else
      value = work->result(env, work);
    napi_resolve_deferred(env, work->deferred, value);
  }
  if (work->done != NULL) work->done(work);
  napi_delete_async_work(env, work->async);
  free(work);
}

void *work_new(napi_env env, size_t bytes) {
  struct work *work = calloc(1, bytes);
  if (work == NULL) throw_errno(env, ENOMEM, "malloc");
  return work;
}

napi_value work_start(napi_env env, struct work *work) {
  napi_value promise, name;
  napi_create_promise(env, &work->deferred, &promise);
  napi_create_string_utf8(env, work->name, NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(env, NULL, name, on_execute, on_complete, work, &work->async);
  napi_queue_async_work(env, work->async);
  return promise;
}
