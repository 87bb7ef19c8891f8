/*
 * link-emulator NODE-DEVICE MEMBER-DEVICE: a cable between two machines, for kernels without netem.
 *
 * Makes the TUN device NODE-DEVICE in the network namespace it is started in, enters a new namespace (the member's, reached by
 * /proc/PID/ns/net) and makes MEMBER-DEVICE there; then carries packets between the two, each direction for itself: a bottleneck
 * of a given rate with a bounded queue (drop tail), then a line of a given delay, with random loss, or black. Everything here
 * ends with this process, which ends with its parent or its standard input, so that nobody has to clean up.
 *
 * Commands on standard input, one a line, each answered by `ok` or `error WHY`; they hold for both directions from then on:
 *   rate BITS-PER-SECOND    delay MICROSECONDS (one way)    queue MICROSECONDS (at that rate)    loss PROBABILITY
 *   silence on|off          counters (answer: ok, then for node to member and back: bytes packets lost dropped)
 * The first line of output is `ready`.
 *
 * TCP's segments of up to 64 KiB pass whole, as between machines whose network cards do the cutting, which is what lets two
 * cores carry gigabits; time and counters are those of the frames that would be on the wire. With loss the kernel is told
 * to cut them, because each frame must be lost by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
	/* What a frame has on the wire beside its IP packet; counted as tc does: the Ethernet header. */
	FRAME_HEADER = 14,
	LONGEST = sizeof(struct virtio_net_hdr) + 65536,
	/* Packets taken from one side before the other, and what is due, have their turn. */
	TURN = 32,
};

static const int64_t SECOND = 1000000000, MICROSECOND = 1000;
/*
 * What a virtual machine's sleep costs: a timer that is set so much too early ends in time on average, and a packet was there
 * so long before we see it. Without the two, a round trip of 0.2 ms takes 0.35.
 */
static const int64_t WAKE_UP = 60 * 1000, SEEN_LATE = 20 * 1000;

struct packet {
	struct packet *next;
	int64_t due;
	size_t length;
	/* As the TUN device gave it: a struct virtio_net_hdr, then the IP packet. */
	unsigned char data[];
};

struct direction {
	int from, to;
	/* The line, in order of delivery. */
	struct packet *first, *last;
	/* When the bottleneck is through with what it has been given. */
	int64_t free_at;
	/* Of frames: entered the wire; of those, lost on it; refused by a full queue or a dead line. */
	uint64_t bytes, packets, lost, dropped;
};

static struct direction directions[2];
static int64_t rate = 1000000000, delay = 0, queue = 30 * 1000000;
static double loss = 0;
static bool silent = false;

static void fail(const char *what) {
	fprintf(stderr, "link-emulator: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * SECOND + time.tv_nsec;
}

static int make_device(const char *name) {
	int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (device < 0)
		fail("/dev/net/tun");
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	if (ioctl(device, TUNSETIFF, &request) < 0)
		fail(name);
	return device;
}

/* Whether the kernel may hand over segments larger than a frame. */
static void let_segments_pass(bool whole) {
	unsigned long offload = TUN_F_CSUM | (whole ? TUN_F_TSO4 | TUN_F_TSO6 : 0);
	for (int i = 0; i < 2; i++)
		if (ioctl(directions[i].from, TUNSETOFFLOAD, offload) < 0)
			fail("TUNSETOFFLOAD");
}

struct frames {
	uint64_t count, bytes;
};

/* What the network card would make of a packet. */
static struct frames on_the_wire(const unsigned char *data, size_t length) {
	struct virtio_net_hdr header;
	memcpy(&header, data, sizeof header);
	const unsigned char *ip = data + sizeof header;
	uint64_t bytes = length - sizeof header, count = 1;
	if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE && header.gso_size > 0 && header.csum_start + 12u < bytes) {
		/* csum_start is where TCP's header begins (hdr_len may be more than headers); its own length is in its 13th byte. */
		uint64_t headers = header.csum_start + (ip[header.csum_start + 12] >> 4) * 4u;
		if (headers < bytes) {
			count = (bytes - headers + header.gso_size - 1) / header.gso_size;
			bytes += (count - 1) * headers;
		}
	}
	return (struct frames){.count = count, .bytes = bytes + count * FRAME_HEADER};
}

static void accept_packet(struct direction *direction, const unsigned char *data, size_t length) {
	struct frames frames = on_the_wire(data, length);
	int64_t time = now() - SEEN_LATE, start = direction->free_at > time ? direction->free_at : time;
	if (silent || start - time > queue) {
		direction->dropped += frames.count;
		return;
	}
	direction->free_at = start + (int64_t)((double)frames.bytes * 8 * (double)SECOND / (double)rate);
	direction->bytes += frames.bytes;
	direction->packets += frames.count;
	if (loss > 0 && drand48() < loss) {
		direction->lost += frames.count;
		return;
	}
	struct packet *packet = malloc(sizeof *packet + length);
	if (packet == NULL)
		fail("malloc");
	packet->next = NULL;
	packet->due = direction->free_at + delay;
	/* After a shorter delay was set, nobody overtakes. */
	if (direction->first != NULL && packet->due < direction->last->due)
		packet->due = direction->last->due;
	packet->length = length;
	memcpy(packet->data, data, length);
	if (direction->first == NULL)
		direction->first = packet;
	else
		direction->last->next = packet;
	direction->last = packet;
}

static void drop_first(struct direction *direction) {
	struct packet *packet = direction->first;
	direction->first = packet->next;
	free(packet);
}

/* True when there may be more. */
static bool take(struct direction *direction) {
	static unsigned char data[LONGEST];
	for (int i = 0; i < TURN; i++) {
		ssize_t length = read(direction->from, data, sizeof data);
		if (length < (ssize_t)sizeof(struct virtio_net_hdr))
			return false;
		accept_packet(direction, data, (size_t)length);
	}
	return true;
}

static void deliver(struct direction *direction, int64_t until) {
	while (direction->first != NULL && direction->first->due <= until) {
		/* A device that is down or takes no such packet loses it, as a network does. */
		if (write(direction->to, direction->first->data, direction->first->length) < 0)
			direction->lost++;
		drop_first(direction);
	}
}

static void set_silence(bool on) {
	silent = on;
	for (int i = 0; i < 2 && on; i++)
		while (directions[i].first != NULL)
			drop_first(&directions[i]);
}

static void obey(const char *line) {
	char word[16] = "", argument[32] = "", *end = argument;
	sscanf(line, "%15s %31s", word, argument);
	double value = strtod(argument, &end);
	bool number = end != argument && *end == '\0' && value >= 0 && value <= 1e15;
	if (strcmp(word, "rate") == 0 && number && value >= 1) {
		rate = (int64_t)value;
	} else if (strcmp(word, "delay") == 0 && number) {
		delay = (int64_t)(value * (double)MICROSECOND);
	} else if (strcmp(word, "queue") == 0 && number) {
		queue = (int64_t)(value * (double)MICROSECOND);
	} else if (strcmp(word, "loss") == 0 && number && value <= 1) {
		loss = value;
		let_segments_pass(loss == 0);
	} else if (strcmp(word, "silence") == 0 && (strcmp(argument, "on") == 0 || strcmp(argument, "off") == 0)) {
		set_silence(strcmp(argument, "on") == 0);
	} else if (strcmp(word, "counters") == 0) {
		printf("ok");
		for (int i = 0; i < 2; i++)
			printf(" %ju %ju %ju %ju", (uintmax_t)directions[i].bytes, (uintmax_t)directions[i].packets,
			       (uintmax_t)directions[i].lost, (uintmax_t)directions[i].dropped);
		printf("\n");
		return;
	} else {
		printf("error not understood: %s\n", line);
		return;
	}
	printf("ok\n");
}

/* False at its end. */
static bool read_commands(void) {
	static char text[256];
	static size_t used = 0;
	ssize_t got = read(STDIN_FILENO, text + used, sizeof text - 1 - used);
	if (got <= 0)
		return false;
	used += (size_t)got;
	text[used] = '\0';
	char *line = text, *end;
	while ((end = strchr(line, '\n')) != NULL) {
		*end = '\0';
		obey(line);
		line = end + 1;
	}
	used -= (size_t)(line - text);
	memmove(text, line, used);
	return used < sizeof text - 1;
}

int main(int count, char **arguments) {
	if (count != 3) {
		fprintf(stderr, "usage: link-emulator NODE-DEVICE MEMBER-DEVICE\n");
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* A cable does not wait for a processor, nor to the next multiple of 50 us. It sleeps most of the time all the same. */
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
	prctl(PR_SET_TIMERSLACK, 1);
	/* Memory that is free stays ours: giving it back and taking it again costs more than the packets. */
	mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
	mallopt(M_MMAP_THRESHOLD, 256 * 1024 * 1024);
	setvbuf(stdout, NULL, _IOLBF, 0);

	int node = make_device(arguments[1]);
	if (unshare(CLONE_NEWNET) < 0)
		fail("a new network namespace");
	int member = make_device(arguments[2]);
	directions[0] = (struct direction){.from = node, .to = member};
	directions[1] = (struct direction){.from = member, .to = node};
	let_segments_pass(true);
	printf("ready\n");

	struct pollfd files[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = node, .events = POLLIN},
				 {.fd = member, .events = POLLIN}};
	for (bool busy = false;;) {
		int64_t time = now(), next = INT64_MAX;
		for (int i = 0; i < 2; i++) {
			deliver(&directions[i], time + WAKE_UP);
			if (directions[i].first != NULL && directions[i].first->due < next)
				next = directions[i].first->due;
		}
		int64_t rest = next - now() - WAKE_UP;
		if (rest < 0 || busy)
			rest = 0;
		struct timespec timeout = {.tv_sec = rest / SECOND, .tv_nsec = rest % SECOND};
		if (ppoll(files, 3, next == INT64_MAX && !busy ? NULL : &timeout, NULL) < 0 && errno != EINTR)
			fail("ppoll");
		if (files[0].revents != 0 && !read_commands())
			return 0;
		busy = false;
		for (int i = 0; i < 2; i++)
			if (files[1 + i].revents != 0)
				busy |= take(&directions[i]);
	}
}
