/* See addon_values.h. */
#include "addon_values.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

/* ---- Errors ---- */

napi_value errno_object(napi_env env, int error, const char *syscall) {
  char message[256];
  snprintf(message, sizeof message, "%s: %s, %s", uv_err_name(-error), uv_strerror(-error), syscall);
  napi_value code, text, object, name, number;
  napi_create_string_utf8(env, uv_err_name(-error), NAPI_AUTO_LENGTH, &code);
  napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &text);
  napi_create_error(env, code, text, &object);
  napi_create_string_utf8(env, syscall, NAPI_AUTO_LENGTH, &name);
  napi_set_named_property(env, object, "syscall", name);
  /* As Node's own errors of the system have it (libuv's number). */
  napi_create_int32(env, -error, &number);
  napi_set_named_property(env, object, "errno", number);
  return object;
}

void throw_errno(napi_env env, int error, const char *syscall) { napi_throw(env, errno_object(env, error, syscall)); }

void throw_range(napi_env env, const char *message) { napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message); }

void throw_type(napi_env env, const char *message) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
}

/* ---- Arguments ---- */

bool get_integer(napi_env env, napi_value value, double max, const char *name, uint64_t *out) {
  char message[128];
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok) {
    snprintf(message, sizeof message, "%s must be a number", name);
    throw_type(env, message);
    return false;
  }
  if (!(number >= 0 && number <= max) || number != floor(number)) {
    snprintf(message, sizeof message, "%s must be an integer from 0 to %.0f", name, max);
    throw_range(env, message);
    return false;
  }
  *out = (uint64_t)number;
  return true;
}

bool get_bytes(napi_env env, napi_value value, const char *name, uint8_t **data, size_t *bytes) {
  bool is_typed = false;
  napi_typedarray_type type;
  void *start;
  if (napi_is_typedarray(env, value, &is_typed) == napi_ok && is_typed &&
      napi_get_typedarray_info(env, value, &type, bytes, &start, NULL, NULL) == napi_ok && type == napi_uint8_array) {
    *data = start;
    return true;
  }
  char message[128];
  snprintf(message, sizeof message, "%s must be a Uint8Array", name);
  throw_type(env, message);
  return false;
}

bool get_text(napi_env env, napi_value value, const char *name, char *text, size_t room) {
  char message[128];
  size_t bytes;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &bytes) != napi_ok) {
    snprintf(message, sizeof message, "%s must be a string", name);
    throw_type(env, message);
    return false;
  }
  if (bytes >= room || bytes == 0) {
    snprintf(message, sizeof message, "%s must be from 1 to %zu bytes", name, room - 1);
    throw_range(env, message);
    return false;
  }
  napi_get_value_string_utf8(env, value, text, room, &bytes);
  if (strlen(text) != bytes) {
    snprintf(message, sizeof message, "%s must not hold a zero byte", name);
    throw_range(env, message);
    return false;
  }
  return true;
}

napi_value property(napi_env env, napi_value object, const char *name) {
  napi_value value;
  napi_valuetype type;
  if (napi_get_named_property(env, object, name, &value) != napi_ok) return NULL;
  napi_typeof(env, value, &type);
  return type == napi_undefined ? NULL : value;
}

bool get_boolean(napi_env env, napi_value value, const char *name, bool *out) {
  if (napi_get_value_bool(env, value, out) == napi_ok) return true;
  char message[128];
  snprintf(message, sizeof message, "%s must be a boolean", name);
  throw_type(env, message);
  return false;
}

bool get_descriptors(napi_env env, napi_value value, const char *name, int *fds, size_t room, size_t *count) {
  char message[128];
  bool is_array = false;
  uint32_t length = 0;
  if (value == NULL || napi_is_array(env, value, &is_array) != napi_ok || !is_array ||
      napi_get_array_length(env, value, &length) != napi_ok) {
    snprintf(message, sizeof message, "%s must be an array of descriptor numbers", name);
    throw_type(env, message);
    return false;
  }
  if (length > room) {
    snprintf(message, sizeof message, "%s must be at most %zu", name, room);
    throw_range(env, message);
    return false;
  }
  for (uint32_t i = 0; i < length; i++) {
    napi_value element;
    uint64_t fd;
    if (napi_get_element(env, value, i, &element) != napi_ok || !get_integer(env, element, INT32_MAX, name, &fd)) return false;
    fds[i] = (int)fd;
  }
  *count = length;
  return true;
}

bool is_object(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && type == napi_object;
}

bool get_property_integer(napi_env env, napi_value object, const char *name, double max, uint64_t *out) {
  napi_value value = property(env, object, name);
  if (value != NULL) return get_integer(env, value, max, name, out);
  char message[128];
  snprintf(message, sizeof message, "%s must be a number", name);
  throw_type(env, message);
  return false;
}

bool get_property_text(napi_env env, napi_value object, const char *name, char *text, size_t room) {
  napi_value value = property(env, object, name);
  if (value != NULL) return get_text(env, value, name, text, room);
  char message[128];
  snprintf(message, sizeof message, "%s must be a string", name);
  throw_type(env, message);
  return false;
}

bool get_property_boolean(napi_env env, napi_value object, const char *name, bool *out) {
  napi_value value = property(env, object, name);
  if (value != NULL) return get_boolean(env, value, name, out);
  char message[128];
  snprintf(message, sizeof message, "%s must be a boolean", name);
  throw_type(env, message);
  return false;
}

/* ---- Results ---- */

napi_value number(napi_env env, double value) {
  napi_value result = NULL;
  napi_create_double(env, value, &result);
  return result;
}

napi_value boolean(napi_env env, bool value) {
  napi_value result = NULL;
  napi_get_boolean(env, value, &result);
  return result;
}
