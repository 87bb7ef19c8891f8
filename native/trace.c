/* See trace.h. */
#include "trace.h"

#include <errno.h>
#include <stdlib.h>

int trace_init(struct trace *trace, uint32_t chunk_count, uint32_t limit) {
  *trace = (struct trace){.limit = limit < chunk_count ? limit : chunk_count};
  if (trace->limit == 0) return 0;
  trace->seen = calloc((chunk_count + 63) / 64, sizeof *trace->seen);
  trace->chunks = malloc(trace->limit * sizeof *trace->chunks);
  return trace->seen == NULL || trace->chunks == NULL ? ENOMEM : 0;
}

void trace_destroy(struct trace *trace) {
  free(trace->seen);
  free(trace->chunks);
}
