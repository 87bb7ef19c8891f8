/* See loop.h. */
#include "loop.h"

#include "errand.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* The kernel's huge_encode_dev(): the minor's lower 8 bits, 12 bits of major, the rest of the minor. */
static void decode_device(uint64_t device, uint32_t *major, uint32_t *minor) {
  *major = (uint32_t)(device >> 8) & 0xfff;
  *minor = (uint32_t)((device & 0xff) | ((device >> 12) & 0xfff00));
}

/* What a device said, on its way through a pipe. */
struct answer {
  int error;
  bool opened;
  struct loop_info64 info;
};

/* Shared by who asks and the thread that does, and freed by the last of them. */
struct question {
  /* Guards all but the device's name. */
  pthread_mutex_t lock;
  pthread_cond_t answered;
  bool done, given_up;
  struct answer answer;
  int pipe[2];
  char device[PATH_MAX];
};

static void question_free(struct question *question) {
  close(question->pipe[0]);
  close(question->pipe[1]);
  pthread_cond_destroy(&question->answered);
  pthread_mutex_destroy(&question->lock);
  free(question);
}

static int look(const void *argument) {
  const struct question *question = argument;
  struct answer answer = {0};
  int fd = open(question->device, O_RDONLY | O_CLOEXEC);
  answer.opened = fd >= 0;
  if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &answer.info) != 0) answer.error = errno;
  return write(question->pipe[1], &answer, sizeof answer) == sizeof answer ? 0 : EIO;
}

static void *ask(void *argument) {
  struct question *question = argument;
  struct answer answer = {0};
  int error = errand_run(look, question, question->pipe[1]);
  if (error == 0 && read(question->pipe[0], &answer, sizeof answer) != sizeof answer) error = EIO;
  if (error != 0) answer.error = error;
  pthread_mutex_lock(&question->lock);
  question->answer = answer;
  question->done = true;
  bool mine = question->given_up;
  pthread_cond_signal(&question->answered);
  pthread_mutex_unlock(&question->lock);
  if (mine) question_free(question);
  return NULL;
}

static int question_new(const char *device, struct question **out) {
  struct question *question = calloc(1, sizeof *question);
  if (question == NULL) return ENOMEM;
  if (strlen(device) >= sizeof question->device || pipe2(question->pipe, O_CLOEXEC) != 0) {
    int error = strlen(device) >= sizeof question->device ? ENAMETOOLONG : errno;
    free(question);
    return error;
  }
  memcpy(question->device, device, strlen(device) + 1);
  pthread_mutex_init(&question->lock, NULL);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&question->answered, &attributes);
  pthread_condattr_destroy(&attributes);
  *out = question;
  return 0;
}

/* A thread that is left to itself, without signals. */
static int start_asking(struct question *question) {
  pthread_t thread;
  pthread_attr_t detached;
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&thread, &detached, ask, question);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&detached);
  return error;
}

/* Whether the answer came in time; if not, the question is not ours any more. */
static bool wait_for_answer(struct question *question) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until); /* a booting node's wall clock jumps */
  until.tv_nsec += LOOP_PATIENCE_MS * 1000000L;
  until.tv_sec += until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  pthread_mutex_lock(&question->lock);
  while (!question->done)
    if (pthread_cond_timedwait(&question->answered, &question->lock, &until) != 0) break;
  bool done = question->done;
  question->given_up = !done;
  pthread_mutex_unlock(&question->lock);
  return done;
}

int loop_get_status(const char *device, struct loop_status *status, const char **syscall) {
  struct question *question = NULL;
  *syscall = "pipe2";
  int error = question_new(device, &question);
  if (error != 0) return error;
  *syscall = "pthread_create";
  error = start_asking(question);
  if (error != 0) {
    question_free(question);
    return error;
  }
  *syscall = "open";
  if (!wait_for_answer(question)) return ETIMEDOUT;
  const struct loop_info64 info = question->answer.info;
  error = question->answer.error;
  if (question->answer.opened) *syscall = "ioctl";
  question_free(question);
  if (error != 0) return error;
  decode_device(info.lo_device, &status->major, &status->minor);
  status->inode = info.lo_inode;
  status->read_only = info.lo_flags & LO_FLAGS_READ_ONLY;
  status->direct_io = info.lo_flags & LO_FLAGS_DIRECT_IO;
  return 0;
}

struct change {
  const char *device;
  int fd;
};

static int change_file(const void *argument) {
  const struct change *change = argument;
  int device = open(change->device, O_RDONLY | O_CLOEXEC);
  if (device < 0) return errno;
  return ioctl(device, LOOP_CHANGE_FD, change->fd) == 0 ? 0 : errno;
}

int loop_change_file(const char *device, int fd, const char **syscall) {
  const struct change change = {device, fd};
  *syscall = "ioctl";
  return errand_run(change_file, &change, fd);
}

/* The structure of LOOP_CONFIGURE (Linux 5.8), which older headers lack. */
struct configuration {
  uint32_t fd;
  uint32_t block_size;
  struct loop_info64 info;
  uint64_t reserved[8];
};
#ifndef LOOP_CONFIGURE
#define LOOP_CONFIGURE 0x4C0A
#endif

static int configure(int device, int file, const char *path, struct loop_part part) {
  struct configuration configuration = {.fd = (uint32_t)file};
  configuration.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
  configuration.info.lo_offset = part.offset;
  configuration.info.lo_sizelimit = part.size;
  snprintf((char *)configuration.info.lo_file_name, LO_NAME_SIZE, "%s", path);
  if (ioctl(device, LOOP_CONFIGURE, &configuration) == 0) return 0;
  if (errno != EINVAL && errno != ENOTTY) return errno;
  if (ioctl(device, LOOP_SET_FD, file) != 0) return errno;
  if (ioctl(device, LOOP_SET_STATUS64, &configuration.info) == 0) return 0;
  int error = errno;
  ioctl(device, LOOP_CLR_FD);
  return error;
}

/* One try: EBUSY when somebody else took the device meanwhile. */
static int attach_once(int control, int file, const char *path, struct loop_part part, char *device, int *fd,
                       const char **syscall) {
  int number = ioctl(control, LOOP_CTL_GET_FREE);
  *syscall = "ioctl";
  if (number < 0) return errno;
  snprintf(device, LOOP_NAME_BYTES, "/dev/loop%d", number);
  *syscall = "open";
  *fd = open(device, O_RDONLY | O_CLOEXEC);
  if (*fd < 0) return errno;
  *syscall = "ioctl";
  int error = configure(*fd, file, path, part);
  if (error != 0) close(*fd);
  return error;
}

int loop_attach(const char *path, struct loop_part part, char *device, int *fd, const char **syscall) {
  int control = -1, error;
  *syscall = "open";
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno;
  control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  error = control < 0 ? errno : EBUSY;
  for (int tries = 0; control >= 0 && error == EBUSY && tries < 64; tries++)
    error = attach_once(control, file, path, part, device, fd, syscall);
  if (control >= 0) close(control);
  close(file);
  return error;
}
