/* A call that may wait, as a promise: it runs on a thread of Node's pool. */
#ifndef TETHERFS_ADDON_WORK_H
#define TETHERFS_ADDON_WORK_H

#include "addon_values.h"

/* First in a struct that calloc made, which holds the rest of what `run` needs. */
struct work {
  const char *name;
  void (*run)(struct work *work);                       /* sets error and syscall */
  napi_value (*result)(napi_env env, struct work *work); /* NULL: undefined */
  void (*done)(struct work *work);                      /* on the JavaScript thread, before the struct is freed; NULL: nothing */
  const char *syscall;
  int error; /* the promise is rejected with it */
  napi_async_work async;
  napi_deferred deferred;
};

/* NULL: an exception is pending. `name`, `run` and what else there is are set afterwards. */
void *work_new(napi_env env, size_t bytes);

/* The promise. The struct is freed when it is settled. */
napi_value work_start(napi_env env, struct work *work);

#endif
