/*
 * See addon_crypt.h. The library is opened when it is first needed: its name differs between distributions, and whoever mounts an image needs none.
 */
#include "addon_crypt.h"

#include "addon_work.h"

#include <crypt.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SECRET_BYTES 512
#define MAX_TEXT_BYTES 384 /* CRYPT_OUTPUT_SIZE of libxcrypt */

static char *(*crypt_function)(const char *, const char *, struct crypt_data *);
static pthread_once_t opened = PTHREAD_ONCE_INIT;

static void open_library(void) {
  static const char *const names[] = {"libcrypt.so.1", "libcrypt.so.2"};
  for (size_t i = 0; i < sizeof names / sizeof *names && crypt_function == NULL; i++) {
    void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    /* POSIX's way of having a function from dlsym. */
    if (library != NULL) *(void **)&crypt_function = dlsym(library, "crypt_r");
  }
}

struct crypt_work {
  struct work work;
  char secret[MAX_SECRET_BYTES], setting[MAX_TEXT_BYTES], text[MAX_TEXT_BYTES];
  struct crypt_data data;
};

static void crypt_run(struct work *work) {
  struct crypt_work *crypt = (struct crypt_work *)work;
  work->syscall = "crypt";
  pthread_once(&opened, open_library);
  if (crypt_function == NULL) {
    work->error = ENOSYS;
    return;
  }
  const char *text = crypt_function(crypt->secret, crypt->setting, &crypt->data);
  /* Failure is NULL, or a text that no password has. */
  if (text == NULL || text[0] == '*' || strlen(text) >= sizeof crypt->text)
    work->error = EINVAL;
  else
    strcpy(crypt->text, text);
}

static napi_value crypt_result(napi_env env, struct work *work) {
  napi_value text;
  napi_create_string_utf8(env, ((struct crypt_work *)work)->text, NAPI_AUTO_LENGTH, &text);
  return text;
}

/* What is freed afterwards holds a secret. */
static void crypt_done(struct work *work) {
  struct crypt_work *crypt = (struct crypt_work *)work;
  explicit_bzero(crypt->secret, sizeof crypt->secret);
  explicit_bzero(&crypt->data, sizeof crypt->data);
}

napi_value js_crypt(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t count = 2;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  struct crypt_work *crypt = work_new(env, sizeof *crypt);
  if (crypt == NULL) return NULL;
  if (!get_text(env, arguments[0], "secret", crypt->secret, sizeof crypt->secret) ||
      !get_text(env, arguments[1], "setting", crypt->setting, sizeof crypt->setting)) {
    crypt_done(&crypt->work);
    free(crypt);
    return NULL;
  }
  crypt->work.name = "tetherfs:crypt";
  crypt->work.run = crypt_run;
  crypt->work.result = crypt_result;
  crypt->work.done = crypt_done;
  return work_start(env, &crypt->work);
}
