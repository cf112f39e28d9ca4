// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * robust-trace: a line for each robust futex that an exit or exec leaves held.
 *
 * Follows the trace events of the system "futex" in an instance of tracefs of
 * its own, or reads them from a file that trace-cmd wrote.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <traceevent/event-parse.h>
#include <tracefs/tracefs.h>
#ifdef HAVE_TRACECMD
#include <trace-cmd/trace-cmd.h>
#endif

#include "robust-trace.h"

#define SYSTEM "futex"

const char * const event_names[NR_EVENT_TYPES] = {
	"robust_mark", "robust_wake", "robust_walk",
};

/**
 * struct request - What the command line asks for
 * @style:	how events are printed
 * @summary:	print walks only, no locks
 * @pid:	events of this process or thread only; 0 for all
 * @duration:	seconds after which to end; 0 to go on until a signal
 * @buffer:	KiB of the trace buffer for each CPU; 0 for the kernel's default
 * @file:	file to read; NULL to follow what happens
 */
struct request {
	struct style style;
	bool summary;
	unsigned long pid;
	unsigned long duration;
	unsigned long buffer;
	const char *file;
};

static volatile sig_atomic_t stopped;

static const char usage_text[] =
	"usage: robust-trace [OPTION...] [FILE]\n"
	"\n"
	"Shows each robust futex that is held in an exit or exec: the owner, how it ended,\n"
	"where the lock is, and whether a waiter was woken. Follows what happens on this\n"
	"machine until it is interrupted, or reads FILE, written by\n"
	"'trace-cmd record -e futex'.\n"
	"\n"
	"  -s, --summary       a line for each list that was walked, none for a lock\n"
	"  -p, --pid PID       only what process or thread PID held\n"
	"  -j, --json          JSON, an object a line\n"
	"  -d, --duration N    end after N seconds\n"
	"  -b, --buffer KIB    size of the trace buffer of each CPU\n"
	"  -h, --help          this text\n"
	"\n"
	"See robust-trace(8).\n";

/* For handle_live(): its events are disabled when it is time to end */
struct live {
	const struct request *request;
	struct tracefs_instance *instance;
	double end;
	bool disabled;
};

static void __noreturn __printf(1, 2) die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("robust-trace: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(1);
}

static void stop(int number)
{
	stopped = 1;
}

/* What is not written is lost: go no further. A pipe that was closed needs no message. */
static void write_failed(int error)
{
	static bool told;

	if (!told && error != EPIPE)
		fprintf(stderr, "robust-trace: cannot write: %s\n", strerror(error));
	told = true;
	stopped = 1;
}

/* Whether @field lies in @record: in a file that is damaged it may not. */
static bool in_record(const struct tep_format_field *field, const struct tep_record *record)
{
	return field && field->offset >= 0 && field->size >= 0 &&
	       (long long)field->offset + field->size <= record->size;
}

/* The number in field @name of @record, 0 if the event has no such field */
static unsigned long long number(struct tep_event *event, struct tep_record *record,
				 const char *name)
{
	struct tep_format_field *field = tep_find_field(event, name);
	unsigned long long value = 0;

	if (!in_record(field, record) || tep_read_number_field(field, record->data, &value))
		return 0;
	return value;
}

static void read_comm(struct event *to, struct tep_event *event, struct tep_record *record)
{
	struct tep_format_field *field = tep_find_field(event, "comm");
	int size;

	if (!in_record(field, record))
		return;
	size = field->size;
	if (size > (int)sizeof(to->comm) - 1)
		size = sizeof(to->comm) - 1;
	memcpy(to->comm, (char *)record->data + field->offset, size);
}

/* Returns false if it is none of the three */
static bool read_event(struct event *to, struct tep_event *event, struct tep_record *record)
{
	int type;

	if (strcmp(event->system, SYSTEM))
		return false;
	for (type = 0; type < NR_EVENT_TYPES; type++)
		if (!strcmp(event->name, event_names[type]))
			break;
	if (type == NR_EVENT_TYPES)
		return false;

	memset(to, 0, sizeof(*to));
	to->type = type;
	to->time = record->ts;
	read_comm(to, event, record);
	to->pid = number(event, record, "pid");
	to->tgid = number(event, record, "tgid");
	to->tid = number(event, record, "tid");
	to->exec = number(event, record, "exec");
	to->signal = number(event, record, "signal");
	to->status = number(event, record, "status");
	to->compat = number(event, record, "compat");
	to->woken = number(event, record, "woken");
	to->address = number(event, record, type == EVENT_WALK ? "head" : "address");
	to->value = number(event, record, "value");
	to->pending = number(event, record, "pending");
	to->pi = number(event, record, "pi");
	to->located = number(event, record, "located");
	to->dev = number(event, record, "dev");
	to->ino = number(event, record, "ino");
	to->offset = number(event, record, "offset");
	to->marked = number(event, record, "marked");
	to->not_held = number(event, record, "not_held");
	to->faults = number(event, record, "faults");
	to->visits = number(event, record, "visits");
	to->duration = number(event, record, "time");
	to->reason = number(event, record, "reason");
	return true;
}

/*
 * A walk that comes to the end of its list, without a fault, needs no line, if each
 * lock has had one. Of locks whose events were lost it alone tells how many they are.
 */
static bool remarkable(const struct event *event, unsigned long long marked)
{
	return event->reason || event->faults || event->marked != marked;
}

static void handle(struct tep_event *event, struct tep_record *record,
		   const struct request *request)
{
	unsigned long long marked = 0;
	struct event found;

	if (!event || !read_event(&found, event, record))
		return;
	if (request->pid && found.pid != request->pid && found.tgid != request->pid)
		return;
	if (found.type == EVENT_MARK)
		tally_mark(found.pid);
	else if (found.type == EVENT_WALK)
		marked = tally_take(found.pid);
	if (request->summary ? found.type != EVENT_WALK :
	    found.type == EVENT_WALK && !request->style.json && !remarkable(&found, marked))
		return;
	print_event(stdout, &found, &request->style);
	if (fflush(stdout))
		write_failed(errno);
}

/* How many events the ring buffers of @instance had no room for */
static unsigned long long lost_events(struct tracefs_instance *instance)
{
	long cpu, cpus = sysconf(_SC_NPROCESSORS_CONF);
	unsigned long long lost, sum = 0;
	char path[64], *stats, *at;

	for (cpu = 0; cpu < cpus; cpu++) {
		snprintf(path, sizeof(path), "per_cpu/cpu%ld/stats", cpu);
		stats = tracefs_instance_file_read(instance, path, NULL);
		at = stats ? strstr(stats, "overrun: ") : NULL;
		if (at && sscanf(at, "overrun: %llu", &lost) == 1)
			sum += lost;
		free(stats);
	}
	return sum;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Whether the kernel was built with tracefs; true if that cannot be found out */
static bool kernel_has_tracefs(void)
{
	FILE *file = fopen("/proc/filesystems", "r");
	bool found = false;
	char line[64];

	if (!file)
		return true;
	while (!found && fgets(line, sizeof(line), file))
		found = !!strstr(line, "\ttracefs\n");
	fclose(file);
	return found;
}

/* Where tracefs is. Ends the program if it cannot be used. */
static const char *find_tracefs(void)
{
	const char *directory;
	char *path;

	directory = tracefs_tracing_dir();
	if (!directory && !kernel_has_tracefs())
		die("this kernel has no tracefs: it was built without CONFIG_TRACING");
	if (!directory)
		die("tracefs is not mounted: as root, run 'mount -t tracefs nodev %s'",
		    "/sys/kernel/tracing");
	path = tracefs_get_tracing_file("instances");
	if (!path || access(path, W_OK))
		die("cannot write to %s: run this as root", path ? path : directory);
	tracefs_put_tracing_file(path);
	if (!tracefs_event_file_exists(NULL, SYSTEM, event_names[EVENT_WALK], "enable"))
		die("this kernel has no trace events of robust futexes: %s/events/%s/%s is missing",
		    directory, SYSTEM, event_names[EVENT_WALK]);
	return directory;
}

static bool enable_events(struct tracefs_instance *instance, const struct request *request)
{
	int type;

	for (type = 0; type < NR_EVENT_TYPES; type++) {
		if (request->summary && type != EVENT_WALK)
			continue;
		if (tracefs_event_enable(instance, SYSTEM, event_names[type]))
			return false;
	}
	return true;
}

static void disable_events(struct tracefs_instance *instance)
{
	int type;

	for (type = 0; type < NR_EVENT_TYPES; type++)
		tracefs_event_disable(instance, SYSTEM, event_names[type]);
}

/*
 * tracefs_iterate_raw_events() goes on for as long as there are events. To end, no more
 * of them may come, and those that are there are printed.
 */
static int handle_live(struct tep_event *event, struct tep_record *record, int cpu,
		       void *context)
{
	struct live *live = context;

	handle(event, record, live->request);
	if (!live->disabled && (stopped || (live->end && seconds() >= live->end))) {
		disable_events(live->instance);
		live->disabled = true;
	}
	return 0;
}

static void handle_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	struct sigaction action = { .sa_handler = stop, .sa_flags = SA_RESTART }, before;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		if (!sigaction(numbers[i], NULL, &before) && before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
}

static void follow(struct request *request)
{
	static const char * const systems[] = { SYSTEM, NULL };
	struct live live = { .request = request };
	struct tracefs_instance *instance;
	const char *directory = find_tracefs();
	unsigned long long lost;
	struct tep_handle *tep;
	char name[32];

	tep = tracefs_local_events_system(directory, systems);
	if (!tep)
		die("cannot read the formats of the events in %s/events/%s", directory, SYSTEM);

	snprintf(name, sizeof(name), "robust-trace-%d", getpid());
	instance = tracefs_instance_create(name);
	if (!instance)
		die("cannot make %s/instances/%s: %s", directory, name, strerror(errno));
	live.instance = instance;
	handle_signals();

	if (request->buffer &&
	    tracefs_instance_set_buffer_size(instance, request->buffer, -1))
		fprintf(stderr, "robust-trace: the trace buffer keeps its size: %s\n",
			strerror(errno));
	if (!enable_events(instance, request)) {
		tracefs_instance_destroy(instance);
		die("cannot enable the events in %s/instances/%s", directory, name);
	}
	fputs("robust-trace: tracing\n", stderr);

	if (request->duration)
		live.end = seconds() + request->duration;
	while (!stopped && (!live.end || seconds() < live.end)) {
		tracefs_iterate_raw_events(tep, instance, NULL, 0, handle_live, &live);
		usleep(50000);
	}
	disable_events(instance);
	live.disabled = true;
	tracefs_iterate_raw_events(tep, instance, NULL, 0, handle_live, &live);

	lost = lost_events(instance);
	if (lost)
		fprintf(stderr,
			"robust-trace: %llu events were lost: use --buffer or --summary\n",
			lost);
	tracefs_instance_destroy(instance);
	tep_free(tep);
}

#ifdef HAVE_TRACECMD
static int handle_recorded(struct tracecmd_input *input, struct tep_record *record, int cpu,
			   void *context)
{
	struct tep_handle *tep = tracecmd_get_tep(input);

	handle(tep_find_event_by_record(tep, record), record, context);
	return 0;
}

/* Whether the format of one of the events is known: a recording may have some only. */
static bool has_events(struct tep_handle *tep)
{
	int type;

	for (type = 0; type < NR_EVENT_TYPES; type++)
		if (tep_find_event_by_name(tep, SYSTEM, event_names[type]))
			return true;
	return false;
}

static void read_file(struct request *request)
{
	struct tracecmd_input *input;

	if (access(request->file, R_OK))
		die("cannot read %s: %s", request->file, strerror(errno));
	input = tracecmd_open(request->file, 0);
	if (!input)
		die("cannot read %s as a file of trace-cmd", request->file);
	if (!has_events(tracecmd_get_tep(input)))
		die("%s has no trace events of robust futexes: use 'trace-cmd record -e futex'",
		    request->file);
	/* The inodes there need not be those of this machine. */
	request->style.resolve = false;
	if (tracecmd_iterate_events(input, NULL, 0, handle_recorded, request) < 0)
		die("cannot read all of %s", request->file);
	tracecmd_close(input);
}
#else
static void read_file(struct request *request)
{
	die("cannot read %s: this program was built without libtracecmd", request->file);
}
#endif

/* See no-color.org: a variable that is empty does not count. */
static bool colour_wanted(void)
{
	const char *no_color = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no_color && *no_color);
}

static unsigned long parse_number(const char *option, const char *text)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || !value) {
		fprintf(stderr, "robust-trace: %s needs a number above 0, not '%s'\n", option,
			text);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "summary", no_argument, NULL, 's' },
		{ "pid", required_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },
		{ "duration", required_argument, NULL, 'd' },
		{ "buffer", required_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	struct request request = { .style = { .resolve = true } };
	int option;

	request.style.colour = colour_wanted();
	while ((option = getopt_long(argc, argv, "sp:jd:b:h", options, NULL)) != -1) {
		switch (option) {
		case 's':
			request.summary = true;
			break;
		case 'p':
			request.pid = parse_number("--pid", optarg);
			break;
		case 'j':
			request.style.json = true;
			break;
		case 'd':
			request.duration = parse_number("--duration", optarg);
			break;
		case 'b':
			request.buffer = parse_number("--buffer", optarg);
			break;
		case 'h':
			fputs(usage_text, stdout);
			return 0;
		default:
			fputs("robust-trace: see 'robust-trace --help'\n", stderr);
			return 2;
		}
	}
	if (argc - optind > 1) {
		fputs("robust-trace: reads one file at most: see 'robust-trace --help'\n",
		      stderr);
		return 2;
	}
	request.file = argv[optind];
	if (request.file && (request.duration || request.buffer)) {
		fputs("robust-trace: --duration and --buffer are not for a file\n", stderr);
		return 2;
	}

	if (request.file)
		read_file(&request);
	else
		follow(&request);
	return ferror(stdout) ? 1 : 0;
}
