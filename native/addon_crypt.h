/* crypt(3), by the system's libcrypt, off the JavaScript thread. */
#ifndef TETHERFS_ADDON_CRYPT_H
#define TETHERFS_ADDON_CRYPT_H

#include "addon_values.h"

napi_value js_crypt(napi_env env, napi_callback_info info);

#endif
