/* Between JavaScript's values and C's: what the files of the addon share. */
#ifndef TETHERFS_ADDON_VALUES_H
#define TETHERFS_ADDON_VALUES_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_SAFE_INTEGER 9007199254740991.0
#define MAX_PATH_BYTES 4096

/* An Error with `code` and `syscall`. */
napi_value errno_object(napi_env env, int error, const char *syscall);
void throw_errno(napi_env env, int error, const char *syscall);
void throw_range(napi_env env, const char *message);
void throw_type(napi_env env, const char *message);

/* Arguments. False means that an exception is pending. */
bool get_integer(napi_env env, napi_value value, double max, const char *name, uint64_t *out);
bool get_bytes(napi_env env, napi_value value, const char *name, uint8_t **data, size_t *bytes);
/* `text` has `room` bytes, its final zero included. A zero inside would end the name early: refused. */
bool get_text(napi_env env, napi_value value, const char *name, char *text, size_t room);
bool get_boolean(napi_env env, napi_value value, const char *name, bool *out);

/* An array of descriptor numbers, `room` at most. `value` may be NULL: then it is refused. */
bool get_descriptors(napi_env env, napi_value value, const char *name, int *fds, size_t room, size_t *count);

bool is_object(napi_env env, napi_value value);
/* The property, or NULL when it is undefined. */
napi_value property(napi_env env, napi_value object, const char *name);
bool get_property_integer(napi_env env, napi_value object, const char *name, double max, uint64_t *out);
bool get_property_text(napi_env env, napi_value object, const char *name, char *text, size_t room);
bool get_property_boolean(napi_env env, napi_value object, const char *name, bool *out);

/* Results. */
napi_value number(napi_env env, double value);
napi_value boolean(napi_env env, bool value);

#endif
