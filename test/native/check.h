/*
 * As much of a test framework as these tests need: CHECK says where it failed and goes on; DONE says how it went.
 */
#ifndef TETHERFS_CHECK_H
#define TETHERFS_CHECK_H

#include <stdatomic.h>
#include <stdio.h>

static atomic_int check_failures;

#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) {                                                           \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);     \
      check_failures++;                                                           \
    }                                                                             \
  } while (0)

/* Runs a test function and prints a line with what it proves. */
#define TEST(function, statement)                                                 \
  do {                                                                            \
    int before = check_failures;                                                  \
    function();                                                                   \
    printf("%s - %s\n", check_failures == before ? "ok" : "not ok", statement);   \
    fflush(stdout);                                                               \
  } while (0)

#define DONE() return check_failures == 0 ? 0 : 1

#endif
