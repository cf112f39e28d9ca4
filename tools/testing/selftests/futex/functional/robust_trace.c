// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The trace events of robust futexes: robust_mark, robust_wake, robust_walk and
 * robust_clear.
 *
 * Each test makes an instance of tracefs for itself, enables the events there,
 * lets a victim die, and compares the fields with the victim and its locks.
 */
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "robust_unlock.h"

#define TRACEFS		"/sys/kernel/tracing"

/* More than any test has; those with more look at the last ones only */
#define NR_EVENTS	64

/* Has a space and is as long as a name can be */
#define NAME		"robust = victim"

/* One of the four, as its line in the trace says */
struct event {
	char name[16];
	char comm[32];
	char reason[16];
	char by[16];
	unsigned long long pid, tgid, tid, exec, signal, status;
	unsigned long long address, value, compat, pending, pi, woken, located;
	unsigned long long major, minor, ino, offset;
	unsigned long long head, marked, not_held, faults, visits, time;
	unsigned long long size;
};

/* What each test has: an instance, a victim, locks for it and what was traced */
struct tracing {
	char instance[64];
	struct victim *victim;
	struct robust_lock *locks;
	struct event events[NR_EVENTS];
	int nr_events;
};

static bool write_file(const char *directory, const char *name, const char *text)
{
	ssize_t len = strlen(text);
	char path[192];
	bool written;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return false;
	written = write(fd, text, len) == len;
	close(fd);
	return written;
}

static bool enable_event(const char *instance, const char *event, bool on)
{
	char name[64];

	snprintf(name, sizeof(name), "events/futex/%s/enable", event);
	return write_file(instance, name, on ? "1" : "0");
}

static bool enable_all(const char *instance, bool on)
{
	return write_file(instance, "events/futex/enable", on ? "1" : "0");
}

#define NR_LOCKS	8

static void tracing_setup(struct __test_metadata *_metadata, struct tracing *self)
{
	REQUIRE_ROBUST_LIST();

	if (access(TRACEFS "/instances", W_OK))
		mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	if (access(TRACEFS "/instances", W_OK))
		SKIP_TEST("needs tracefs, and root");
	if (access(TRACEFS "/events/futex/robust_mark", F_OK))
		SKIP_TEST("the kernel has no trace events of robust futexes");

	snprintf(self->instance, sizeof(self->instance), TRACEFS "/instances/robust_%d",
		 getpid());
	ASSERT_EQ(0, mkdir(self->instance, 0700));
	ASSERT_TRUE(enable_all(self->instance, true));

	self->victim = victim_alloc();
	self->locks = shared_memory(NR_LOCKS * sizeof(*self->locks));
	ASSERT_TRUE(self->victim && self->locks);
}

static void tracing_end(struct __test_metadata *_metadata, struct tracing *self)
{
	victim_clean(self->victim);
	enable_all(self->instance, false);
	EXPECT_EQ(0, rmdir(self->instance));
}

/* The number behind "NAME=" in @line; ~0 if there is none */
static unsigned long long number(const char *line, const char *name)
{
	char *end, pattern[32];
	const char *found;
	unsigned long long value;

	snprintf(pattern, sizeof(pattern), " %s=", name);
	found = strstr(line, pattern);
	if (!found)
		return ~0ULL;
	found += strlen(pattern);
	value = strtoull(found, &end, 0);
	return end == found ? ~0ULL : value;
}

static void parse_dev(struct event *event, const char *line)
{
	const char *dev = strstr(line, " dev=");
	unsigned int major, minor;

	if (dev && sscanf(dev, " dev=%u:%u", &major, &minor) == 2) {
		event->major = major;
		event->minor = minor;
	}
}

/* @line begins with the name of the event */
static bool parse(struct event *event, const char *line)
{
	const char *rest;

	memset(event, 0xff, sizeof(*event));
	if (sscanf(line, "%15[a-z_]: comm=", event->name) != 1)
		return false;
	line = strstr(line, "comm=");
	rest = line ? strstr(line, " pid=") : NULL;
	if (!rest || rest - line - 5 >= (long)sizeof(event->comm))
		return false;
	snprintf(event->comm, sizeof(event->comm), "%.*s", (int)(rest - line - 5), line + 5);

	event->pid = number(rest, "pid");
	event->tgid = number(rest, "tgid");
	event->tid = number(rest, "tid");
	event->exec = number(rest, "exec");
	event->signal = number(rest, "signal");
	event->status = number(rest, "status");
	event->compat = number(rest, "compat");
	event->woken = number(rest, "woken");
	if (!strcmp(event->name, "robust_walk")) {
		event->head = number(rest, "head");
		event->marked = number(rest, "marked");
		event->not_held = number(rest, "not_held");
		event->faults = number(rest, "faults");
		event->visits = number(rest, "visits");
		event->time = number(rest, "time");
		rest = strstr(rest, " reason=");
		return rest && sscanf(rest, " reason=%15s", event->reason) == 1;
	}
	event->address = number(rest, "address");
	if (!strcmp(event->name, "robust_clear")) {
		event->size = number(rest, "size");
		rest = strstr(rest, " by=");
		return rest && sscanf(rest, " by=%15s", event->by) == 1;
	}
	event->value = number(rest, "value");
	event->pending = number(rest, "pending");
	event->pi = number(rest, "pi");
	event->located = number(rest, "located");
	event->ino = number(rest, "ino");
	event->offset = number(rest, "offset");
	parse_dev(event, rest);
	return true;
}

/*
 * Read the events of tasks of the process @tgid, the last NR_EVENTS of them in
 * their order.
 *
 * Return: how many there were, or -1 if a line cannot be understood
 */
static int read_events(const char *instance, struct event *events, pid_t tgid)
{
	char path[96], line[512], *found;
	struct event event;
	int nr = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/trace", instance);
	file = fopen(path, "r");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		found = line[0] == '#' ? NULL : strstr(line, ": robust_");
		if (!found)
			continue;
		if (!parse(&event, found + 2)) {
			nr = -1;
			break;
		}
		if (event.tgid != (unsigned long long)tgid)
			continue;
		if (nr >= NR_EVENTS)
			memmove(events, events + 1, (NR_EVENTS - 1) * sizeof(*events));
		events[nr < NR_EVENTS ? nr : NR_EVENTS - 1] = event;
		nr++;
	}
	fclose(file);
	return nr;
}

/* How the victim ends */
enum ending {
	KILLED,
	EXITED,
	FAULTED,
	THREAD,
	EXEC,
	EXEC_BY_THREAD,
	/* A thread, as another one execs */
	THREAD_BY_EXEC,
};

static enum ending *ending_of(struct victim *victim)
{
	return victim->data;
}

static void set_name(void)
{
	prctl(PR_SET_NAME, NAME);
}

static void *end_in_thread(void *arg)
{
	struct victim *victim = arg;

	set_name();
	victim_hold(victim);
	if (*ending_of(victim) == EXEC_BY_THREAD)
		victim_exec();
	while (*ending_of(victim) == THREAD_BY_EXEC)
		pause();
	/* Not the process, and no handler of the C library */
	syscall(SYS_exit, 5);
	return NULL;
}

static bool is_thread(enum ending ending)
{
	return ending == THREAD || ending == EXEC_BY_THREAD || ending == THREAD_BY_EXEC;
}

static void run_ending(struct victim *victim)
{
	enum ending ending = *ending_of(victim);

	if (is_thread(ending)) {
		if (!start_small_thread(end_in_thread, victim))
			_exit(KSFT_FAIL);
		if (ending == THREAD_BY_EXEC) {
			while (!victim->go)
				wait_on(&victim->go, 0);
			victim_exec();
		}
		for (;;)
			pause();
	}

	set_name();
	victim_hold(victim);
	if (ending == EXITED)
		_exit(3);
	if (ending == EXEC)
		victim_exec();
	if (ending == FAULTED)
		signal(SIGSEGV, SIG_DFL);
	kill(getpid(), ending == FAULTED ? SIGSEGV : SIGKILL);
}

static const struct {
	const char *name;
	enum ending ending;
	unsigned int exec;
	unsigned int signal;
	unsigned int status;
} endings[] = {
	{ "killed", KILLED, 0, SIGKILL, 0 },
	{ "exited", EXITED, 0, 0, 3 },
	{ "segmentation fault", FAULTED, 0, SIGSEGV, 0 },
	{ "thread", THREAD, 0, 0, 5 },
	{ "exec", EXEC, 1, 0, 0 },
	{ "exec by a thread", EXEC_BY_THREAD, 1, 0, 0 },
	{ "thread, by exec", THREAD_BY_EXEC, 0, 0, 0 },
};

/* Let the victim die, and read what was traced about its process */
static void die_traced(struct __test_metadata *_metadata, struct tracing *self)
{
	pid_t tgid = self->victim->pid;

	ASSERT_TRUE(victim_die(self->victim));
	self->nr_events = read_events(self->instance, self->events, tgid);
}

FIXTURE(trace)
{
	struct tracing tracing;
};

FIXTURE_SETUP(trace)
{
	tracing_setup(_metadata, &self->tracing);
}

FIXTURE_TEARDOWN(trace)
{
	tracing_end(_metadata, &self->tracing);
}

/* The owner and how it ended, in the events of a lock and of the walk */
TEST_F(trace, owner)
{
	struct tracing *tracing = &self->tracing;
	struct victim *victim = tracing->victim;
	enum ending *ending = shared_memory(sizeof(*ending));
	unsigned int i;
	int j;

	ASSERT_NE(NULL, ending);
	victim->data = ending;
	victim->run = run_ending;

	for (i = 0; i < ARRAY_SIZE(endings); i++) {
		struct event *event = tracing->events;
		pid_t pid;

		TH_LOG("%s", endings[i].name);
		*ending = endings[i].ending;
		ASSERT_TRUE(victim_start(victim));
		pid = victim->pid;
		hold(tracing->locks, 1, victim->tid);
		link_locks(&victim->head, tracing->locks, 1);
		if (is_thread(*ending))
			ASSERT_NE((__u32)pid, victim->tid);

		die_traced(_metadata, tracing);
		EXPECT_EQ(MARKED, tracing->locks[0].word);
		ASSERT_EQ(2, tracing->nr_events);
		EXPECT_STREQ("robust_mark", event[0].name);
		EXPECT_STREQ("robust_walk", event[1].name);
		for (j = 0; j < 2; j++) {
			EXPECT_STREQ(NAME, event[j].comm);
			EXPECT_EQ(victim->tid, event[j].pid);
			EXPECT_EQ(pid, event[j].tgid);
			EXPECT_EQ(victim->tid, event[j].tid);
			EXPECT_EQ(endings[i].exec, event[j].exec);
			EXPECT_EQ(endings[i].signal, event[j].signal);
			EXPECT_EQ(endings[i].status, event[j].status);
			/* A 32-bit program cannot easily find out which kernel it has */
			if (sizeof(long) == 8)
				EXPECT_EQ(0U, event[j].compat);
		}
		victim_clean(victim);
	}
}

/* The TID is that of the words, in the owner's PID namespace; pid is not */
TEST_F(trace, pid_namespace)
{
	struct tracing *tracing = &self->tracing;
	struct victim *victim = tracing->victim;
	pid_t *pid = shared_memory(sizeof(*pid));
	bool started;

	ASSERT_NE(NULL, pid);
	victim->data = pid;
	victim->run = run_in_pid_namespace;
	started = victim_start(victim);
	if (!started && WIFEXITED(victim->status) &&
	    WEXITSTATUS(victim->status) == KSFT_SKIP)
		SKIP(return, "needs root and PID namespaces");
	ASSERT_TRUE(started && happens(*pid));
	ASSERT_EQ(1U, victim->tid);
	hold(tracing->locks, 1, victim->tid);
	link_locks(&victim->head, tracing->locks, 1);

	ASSERT_TRUE(victim_die(victim));
	ASSERT_EQ(2, read_events(tracing->instance, tracing->events, *pid));
	EXPECT_EQ(1U, tracing->events[0].tid);
	EXPECT_EQ(*pid, tracing->events[0].pid);
	EXPECT_EQ(1U, tracing->events[1].tid);
	EXPECT_EQ(*pid, tracing->events[1].pid);
}

/* What became of one lock */
FIXTURE(trace_lock)
{
	struct tracing tracing;
	struct waiters waiters;
};

FIXTURE_VARIANT(trace_lock)
{
	/* Held by the victim with these bits; otherwise the word is just that */
	bool held;
	__u32 bits;
	bool pending;
	bool pi;
	bool waiter;
	/* The event; NULL if there must be none */
	const char *event;
	unsigned int woken;
};

FIXTURE_VARIANT_ADD(trace_lock, held) {
	.held = true,
	.event = "robust_mark",
};

FIXTURE_VARIANT_ADD(trace_lock, waiters_bit) {
	.held = true,
	.bits = FUTEX_WAITERS,
	.event = "robust_mark",
};

FIXTURE_VARIANT_ADD(trace_lock, waiter) {
	.held = true,
	.bits = FUTEX_WAITERS,
	.waiter = true,
	.event = "robust_mark",
	.woken = 1,
};

FIXTURE_VARIANT_ADD(trace_lock, held_pi) {
	.held = true,
	.bits = FUTEX_WAITERS,
	.pi = true,
	.event = "robust_mark",
};

FIXTURE_VARIANT_ADD(trace_lock, pending) {
	.held = true,
	.pending = true,
	.event = "robust_mark",
};

FIXTURE_VARIANT_ADD(trace_lock, pending_waiter) {
	.held = true,
	.bits = FUTEX_WAITERS,
	.pending = true,
	.waiter = true,
	.event = "robust_mark",
	.woken = 1,
};

FIXTURE_VARIANT_ADD(trace_lock, pending_pi) {
	.held = true,
	.pending = true,
	.pi = true,
	.event = "robust_mark",
};

FIXTURE_VARIANT_ADD(trace_lock, released) {
	.pending = true,
	.event = "robust_wake",
};

FIXTURE_VARIANT_ADD(trace_lock, released_waiter) {
	.pending = true,
	.waiter = true,
	.event = "robust_wake",
	.woken = 1,
};

FIXTURE_VARIANT_ADD(trace_lock, released_pi) {
	.pending = true,
	.pi = true,
};

FIXTURE_VARIANT_ADD(trace_lock, not_held) {
	.bits = OTHER_TID | FUTEX_WAITERS,
};

FIXTURE_VARIANT_ADD(trace_lock, pending_not_held) {
	.bits = OTHER_TID | FUTEX_WAITERS,
	.pending = true,
};

FIXTURE_SETUP(trace_lock)
{
	tracing_setup(_metadata, &self->tracing);
}

FIXTURE_TEARDOWN(trace_lock)
{
	tracing_end(_metadata, &self->tracing);
}

TEST_F(trace_lock, event)
{
	struct tracing *tracing = &self->tracing;
	struct victim *victim = tracing->victim;
	struct robust_lock *lock = &tracing->locks[1];
	struct event *event = tracing->events;
	bool marked = variant->held;
	struct robust_list *entry;
	int nr = 0;

	ASSERT_TRUE(victim_start(victim));
	lock->word = variant->bits | (variant->held ? victim->tid : 0);
	entry = variant->pi ? pi_entry(lock) : &lock->entry;
	if (variant->pending) {
		victim->head.list_op_pending = entry;
	} else {
		victim->head.list.next = entry;
		lock->entry.next = &victim->head.list;
	}
	if (variant->waiter)
		ASSERT_TRUE(start_waiters(&self->waiters, &lock->word, 1));

	die_traced(_metadata, tracing);
	if (variant->waiter)
		EXPECT_EQ((int)variant->woken, woken(&self->waiters));
	ASSERT_EQ(variant->event ? 2 : 1, tracing->nr_events);
	if (variant->event) {
		EXPECT_STREQ(variant->event, event->name);
		EXPECT_EQ((uintptr_t)&lock->word, event->address);
		EXPECT_EQ(variant->bits | (marked ? victim->tid : 0), event->value);
		EXPECT_EQ(variant->pending, event->pending);
		EXPECT_EQ(variant->pi, event->pi);
		EXPECT_EQ(variant->woken, event->woken);
		nr++;
	}
	EXPECT_STREQ("robust_walk", event[nr].name);
	EXPECT_EQ((uintptr_t)&victim->head, event[nr].head);
	EXPECT_EQ(marked, event[nr].marked);
	EXPECT_EQ(!marked, event[nr].not_held);
	EXPECT_EQ(variant->woken, event[nr].woken);
	EXPECT_EQ(0U, event[nr].faults);
	EXPECT_EQ(!variant->pending, event[nr].visits);
	EXPECT_STREQ("end", event[nr].reason);
}

/* What identifies a lock in another process: the file that its word is in */
FIXTURE(trace_place)
{
	struct tracing tracing;
	size_t page;
};

FIXTURE_VARIANT(trace_place)
{
	bool file;
	bool shared;
};

FIXTURE_VARIANT_ADD(trace_place, file_shared) {
	.file = true,
	.shared = true,
};

FIXTURE_VARIANT_ADD(trace_place, file_private) {
	.file = true,
};

FIXTURE_VARIANT_ADD(trace_place, anonymous_shared) {
	.shared = true,
};

FIXTURE_VARIANT_ADD(trace_place, anonymous_private) {
};

FIXTURE_SETUP(trace_place)
{
	tracing_setup(_metadata, &self->tracing);
	self->page = sysconf(_SC_PAGESIZE);
}

FIXTURE_TEARDOWN(trace_place)
{
	tracing_end(_metadata, &self->tracing);
}

/*
 * Device and inode of the mapping at @address, as /proc shows them, and the
 * offset of @address in the file.
 */
static bool look_up(void *address, struct event *place)
{
	unsigned long long start, end, offset, ino;
	unsigned int major, minor;
	bool found = false;
	char line[256];
	FILE *file;

	file = fopen("/proc/self/maps", "r");
	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx-%llx %*s %llx %x:%x %llu", &start, &end, &offset,
			   &major, &minor, &ino) != 6)
			continue;
		if ((uintptr_t)address < start || (uintptr_t)address >= end)
			continue;
		place->major = major;
		place->minor = minor;
		place->ino = ino;
		place->offset = (uintptr_t)address - start + offset;
		found = true;
	}
	fclose(file);
	return found;
}

/* Not at the start of a page */
#define PLACE_OFFSET	64

/* Hold a lock in memory that is not shared with the test, in its third page */
struct place {
	char *memory;
	size_t page;
};

static void run_with_place(struct victim *victim)
{
	struct place *place = victim->data;
	struct robust_lock *lock = (void *)(place->memory + 2 * place->page + PLACE_OFFSET);

	link_locks(&victim->head, lock, 1);
	lock->word = syscall(SYS_gettid);
	victim_hold(victim);
	_exit(0);
}

TEST_F(trace_place, file)
{
	struct tracing *tracing = &self->tracing;
	struct event expected = { .major = 0 };
	struct place place = { .page = self->page };
	int flags = variant->shared ? MAP_SHARED : MAP_PRIVATE;
	int fd = -1;

	if (variant->file) {
		fd = memfd_create("robust_trace", MFD_CLOEXEC);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(0, ftruncate(fd, 8 * self->page));
	} else {
		flags |= MAP_ANONYMOUS;
	}
	place.memory = mmap(NULL, 4 * self->page, PROT_READ | PROT_WRITE, flags, fd,
			    variant->file ? 3 * self->page : 0);
	ASSERT_NE(MAP_FAILED, (void *)place.memory);
	ASSERT_TRUE(look_up(place.memory + 2 * self->page + PLACE_OFFSET, &expected));
	if (variant->file)
		ASSERT_EQ(5 * self->page + PLACE_OFFSET, expected.offset);
	if (!variant->shared)
		memset(&expected, 0, sizeof(expected));
	else
		ASSERT_NE(0U, expected.ino);

	tracing->victim->data = &place;
	tracing->victim->run = run_with_place;
	ASSERT_TRUE(victim_start(tracing->victim));
	die_traced(_metadata, tracing);
	ASSERT_EQ(2, tracing->nr_events);
	EXPECT_EQ(1U, tracing->events[0].located);
	EXPECT_EQ(expected.major, tracing->events[0].major);
	EXPECT_EQ(expected.minor, tracing->events[0].minor);
	EXPECT_EQ(expected.ino, tracing->events[0].ino);
	EXPECT_EQ(expected.offset, tracing->events[0].offset);
	EXPECT_EQ((uintptr_t)place.memory + 2 * self->page + PLACE_OFFSET,
		  tracing->events[0].address);
	close(fd);
}

/*
 * A thread that exits while others of its process change mappings: one of them nearly
 * always has the mmap lock, or waits for it, and then the file is not looked up.
 */
#define NR_CHANGING	2
#define CHANGING_SIZE	(8 * 1024 * 1024)

struct changing {
	struct robust_lock *lock;
	char *memory;
	int started;
};

static void *change_mappings(void *arg)
{
	struct changing *changing = arg;

	__atomic_add_fetch(&changing->started, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		mprotect(changing->memory, CHANGING_SIZE, PROT_READ);
		mprotect(changing->memory, CHANGING_SIZE, PROT_READ | PROT_WRITE);
	}
	return NULL;
}

static void run_changing(struct victim *victim)
{
	struct changing *changing = victim->data;
	int i;

	changing->memory = mmap(NULL, CHANGING_SIZE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (changing->memory == MAP_FAILED)
		_exit(KSFT_FAIL);
	/* Each page takes its time */
	madvise(changing->memory, CHANGING_SIZE, MADV_NOHUGEPAGE);
	memset(changing->memory, 1, CHANGING_SIZE);
	/* The walk does not wait for the page */
	changing->lock->word = 0;
	if (!start_small_thread(hold_and_exit_thread, victim) || !happens(victim->tid))
		_exit(KSFT_FAIL);
	for (i = 0; i < NR_CHANGING; i++)
		if (!start_small_thread(change_mappings, changing))
			_exit(KSFT_FAIL);
	for (;;)
		pause();
}

TEST_F(trace, not_located)
{
	struct tracing *tracing = &self->tracing;
	struct victim *victim = tracing->victim;
	struct changing *changing = shared_memory(sizeof(*changing));
	long long limit = milliseconds() + TIME_LIMIT * 1000LL;
	struct event *event = tracing->events;
	struct event place = { .major = 0 }, none = { .major = 0 }, *expected;

	ASSERT_NE(NULL, changing);
	ASSERT_TRUE(look_up((void *)&tracing->locks[0].word, &place));
	ASSERT_NE(0U, place.ino);
	changing->lock = tracing->locks;
	victim->data = changing;
	victim->run = run_changing;
	do {
		changing->started = 0;
		ASSERT_TRUE(victim_start(victim));
		ASSERT_TRUE(happens(__atomic_load_n(&changing->started, __ATOMIC_SEQ_CST) ==
				    NR_CHANGING));
		hold(tracing->locks, 1, victim->tid);
		link_locks(&victim->head, tracing->locks, 1);
		die_traced(_metadata, tracing);
		victim_clean(victim);
		EXPECT_EQ(MARKED, tracing->locks[0].word);
		ASSERT_EQ(2, tracing->nr_events);
		expected = event->located ? &place : &none;
		EXPECT_EQ(expected->major, event->major);
		EXPECT_EQ(expected->minor, event->minor);
		EXPECT_EQ(expected->ino, event->ino);
		EXPECT_EQ(expected->offset, event->offset);
	} while (event->located && milliseconds() < limit);
	EXPECT_EQ(0U, event->located);
}

/* The page at data is read-only for the victim, and not for the test */
static void run_read_only(struct victim *victim)
{
	if (mprotect(victim->data, sysconf(_SC_PAGESIZE), PROT_READ))
		_exit(KSFT_FAIL);
	victim_hold(victim);
	_exit(0);
}

#define NR_READ_ONLY	3
#define NR_COUNTED	8

/* The counts of a walk: each kind of lock has a number of its own */
TEST_F(trace, counts)
{
	struct tracing *tracing = &self->tracing;
	struct victim *victim = tracing->victim;
	size_t page = sysconf(_SC_PAGESIZE);
	struct waiters waiters[2] = {};
	struct robust_lock *locks;
	struct event *walk;
	char *memory;
	int i;

	memory = shared_memory(2 * page);
	ASSERT_NE(NULL, memory);
	locks = (void *)(memory + page - NR_READ_ONLY * sizeof(*locks));
	victim->data = memory;
	victim->run = run_read_only;
	ASSERT_TRUE(victim_start(victim));
	hold(locks, NR_COUNTED, victim->tid);
	link_locks(&victim->head, locks, NR_COUNTED);
	locks[3].word = OTHER_TID;
	locks[4].word = OTHER_TID;
	for (i = 0; i < 2; i++) {
		locks[6 + i].word |= FUTEX_WAITERS;
		ASSERT_TRUE(start_waiters(&waiters[i], &locks[6 + i].word, 1));
	}

	die_traced(_metadata, tracing);
	ASSERT_EQ(4, tracing->nr_events);
	EXPECT_EQ(0U, tracing->events[0].woken);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(1, woken(&waiters[i]));
		EXPECT_EQ(1U, tracing->events[1 + i].woken);
	}
	walk = &tracing->events[3];
	EXPECT_EQ(3U, walk->marked);
	EXPECT_EQ(2U, walk->woken);
	EXPECT_EQ(2U, walk->not_held);
	EXPECT_EQ(3U, walk->faults);
	EXPECT_EQ(8U, walk->visits);
	EXPECT_STREQ("end", walk->reason);
	EXPECT_GT(walk->time, 0U);
	EXPECT_LT(walk->time, TIME_LIMIT * 1000000000ULL);
}

/* Start a victim that holds two locks, whose second leads to what a test sets */
static void start_with_two(struct __test_metadata *_metadata, struct tracing *tracing)
{
	ASSERT_TRUE(victim_start(tracing->victim));
	hold(tracing->locks, 2, tracing->victim->tid);
	link_locks(&tracing->victim->head, tracing->locks, 2);
}

/* Let it die: both locks must be marked, and the walk have ended for @reason */
static void expect_reason(struct __test_metadata *_metadata, struct tracing *tracing,
			  const char *reason)
{
	die_traced(_metadata, tracing);
	ASSERT_EQ(3, tracing->nr_events);
	EXPECT_STREQ(reason, tracing->events[2].reason);
	EXPECT_EQ(2U, tracing->events[2].marked);
}

TEST_F(trace, reason_end)
{
	start_with_two(_metadata, &self->tracing);
	expect_reason(_metadata, &self->tracing, "end");
}

TEST_F(trace, reason_null)
{
	start_with_two(_metadata, &self->tracing);
	self->tracing.locks[1].entry.next = NULL;
	expect_reason(_metadata, &self->tracing, "null");
}

static void *no_access(void)
{
	void *memory = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

TEST_F(trace, reason_unreadable)
{
	struct robust_lock *beyond = no_access();

	ASSERT_NE(NULL, beyond);
	start_with_two(_metadata, &self->tracing);
	self->tracing.locks[1].entry.next = &beyond->entry;
	expect_reason(_metadata, &self->tracing, "unreadable");
	/* That lock is one visit, and its word cannot be read either */
	EXPECT_EQ(3U, self->tracing.events[2].visits);
	EXPECT_EQ(1U, self->tracing.events[2].faults);
}

/* The head itself: there is no list to walk, and that is told */
TEST_F(trace, reason_unreadable_head)
{
	struct tracing *tracing = &self->tracing;

	tracing->victim->registered = no_access();
	ASSERT_NE(NULL, tracing->victim->registered);
	ASSERT_TRUE(victim_start(tracing->victim));
	die_traced(_metadata, tracing);
	ASSERT_EQ(1, tracing->nr_events);
	EXPECT_STREQ("robust_walk", tracing->events[0].name);
	EXPECT_STREQ("unreadable", tracing->events[0].reason);
	EXPECT_EQ(0U, tracing->events[0].marked);
}

/* Of the head, list_op_pending alone: the locks of the list are marked */
TEST_F(trace, reason_unreadable_pending)
{
	struct tracing *tracing = &self->tracing;
	struct robust_list_head *head;
	size_t page = sysconf(_SC_PAGESIZE);
	char *memory;
	int i;

	memory = shared_memory(2 * page);
	ASSERT_NE(NULL, memory);
	ASSERT_EQ(0, mprotect(memory + page, page, PROT_NONE));
	head = (void *)(memory + page - offsetof(struct robust_list_head, list_op_pending));
	tracing->victim->registered = head;
	/* Without a lock on the list, and with one */
	for (i = 0; i < 2; i++) {
		head->list.next = i ? &tracing->locks[0].entry : &head->list;
		head->futex_offset = LOCK_OFFSET;
		tracing->locks[0].entry.next = &head->list;
		ASSERT_TRUE(victim_start(tracing->victim));
		tracing->locks[0].word = tracing->victim->tid;
		die_traced(_metadata, tracing);
		ASSERT_EQ(1 + i, tracing->nr_events);
		EXPECT_STREQ("robust_walk", tracing->events[i].name);
		EXPECT_STREQ("unreadable", tracing->events[i].reason);
		EXPECT_EQ((unsigned int)i, tracing->events[i].marked);
		victim_clean(tracing->victim);
	}
}

/* A circle of two locks: marked once, and then visited in vain */
TEST_F(trace, reason_tries)
{
	start_with_two(_metadata, &self->tracing);
	self->tracing.locks[1].entry.next = &self->tracing.locks[0].entry;
	expect_reason(_metadata, &self->tracing, "tries");
	EXPECT_EQ(2U + 2048U, self->tracing.events[2].visits);
	EXPECT_EQ(2048U, self->tracing.events[2].not_held);
}

/* Hold as many locks as data tells, in memory that no other process uses */
static void run_many(struct victim *victim)
{
	size_t nr = (size_t)(uintptr_t)victim->data, i;
	struct robust_lock *locks;
	pid_t tid = syscall(SYS_gettid);

	locks = mmap(NULL, nr * sizeof(*locks), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (locks == MAP_FAILED)
		_exit(KSFT_SKIP);
	link_locks(&victim->head, locks, nr);
	for (i = 0; i < nr; i++)
		locks[i].word = tid;
	victim_hold(victim);
	_exit(0);
}

/*
 * More events than the buffer has room for: the oldest go, and that of the walk,
 * which comes last, is there.
 */
TEST_F(trace, overrun)
{
	struct tracing *tracing = &self->tracing;
	struct victim *victim = tracing->victim;
	const unsigned int nr = 20000;
	struct event *last;

	ASSERT_TRUE(write_file(tracing->instance, "buffer_size_kb", "64"));
	victim->data = (void *)(uintptr_t)nr;
	victim->run = run_many;
	ASSERT_TRUE(victim_start(victim));
	die_traced(_metadata, tracing);
	ASSERT_GT(tracing->nr_events, NR_EVENTS);
	ASSERT_LT(tracing->nr_events, (int)nr);
	last = &tracing->events[NR_EVENTS - 1];
	EXPECT_STREQ("robust_mark", last[-1].name);
	ASSERT_STREQ("robust_walk", last->name);
	EXPECT_EQ(nr, last->marked);
	EXPECT_EQ(nr, last->visits);
	EXPECT_STREQ("end", last->reason);
}

/* Each event comes alone when it alone is enabled, and none when none is */
TEST_F(trace, selection)
{
	static const char * const names[] = { "robust_mark", "robust_wake", "robust_walk" };
	struct tracing *tracing = &self->tracing;
	struct victim *victim = tracing->victim;
	int i;

	for (i = -1; i < 3; i++) {
		ASSERT_TRUE(enable_all(tracing->instance, false));
		if (i >= 0)
			ASSERT_TRUE(enable_event(tracing->instance, names[i], true));
		/* One held, and one pending that is not */
		victim->head.list_op_pending = &tracing->locks[1].entry;
		ASSERT_TRUE(victim_start(victim));
		tracing->locks[0].word = victim->tid;
		tracing->locks[1].word = 0;
		link_locks(&victim->head, tracing->locks, 1);
		die_traced(_metadata, tracing);
		EXPECT_EQ(MARKED, tracing->locks[0].word);
		ASSERT_EQ(i >= 0, tracing->nr_events);
		if (i >= 0)
			EXPECT_STREQ(names[i], tracing->events[0].name);
		victim_clean(victim);
	}
}

/* No event of a list that is empty, and none of a task that has registered none */
TEST_F(trace, empty)
{
	struct tracing *tracing = &self->tracing;

	ASSERT_TRUE(victim_start(tracing->victim));
	die_traced(_metadata, tracing);
	EXPECT_EQ(0, tracing->nr_events);

	tracing->victim->registered = NULL;
	ASSERT_TRUE(victim_start(tracing->victim));
	die_traced(_metadata, tracing);
	EXPECT_EQ(0, tracing->nr_events);
}

/* For a thread that turns the events on and off until it is told to stop */
struct switcher {
	const char *instance;
	futex_t stop;
	futex_t stopped;
	unsigned int switches;
};

static void *switch_events(void *arg)
{
	struct switcher *switcher = arg;

	while (!switcher->stop) {
		enable_all(switcher->instance, switcher->switches++ & 1);
		usleep(rand() % 8000);
	}
	switcher->stopped = 1;
	return NULL;
}

/* How many walks of each kind there have to be */
#define NR_SWITCHED	5

/*
 * Events that come and go during walks: no lock is lost, and an event of a walk that
 * is told from its beginning to its end has the right counts. Those that are cut off
 * show that events were switched off in the middle.
 */
TEST_F_TIMEOUT(trace, switched_during_walks, 120)
{
	struct tracing *tracing = &self->tracing;
	struct victim *victim = tracing->victim;
	struct switcher switcher = { .instance = tracing->instance };
	long long limit = milliseconds() + 100 * 1000;
	unsigned int whole = 0, cut = 0;
	const size_t nr = 300;
	struct robust_lock *locks = shared_memory(nr * sizeof(*locks));
	struct event *last;
	int nr_events;
	pid_t tgid;

	ASSERT_NE(NULL, locks);
	ASSERT_TRUE(start_small_thread(switch_events, &switcher));
	while ((whole < NR_SWITCHED || cut < NR_SWITCHED) && milliseconds() < limit) {
		ASSERT_TRUE(write_file(tracing->instance, "trace", ""));
		ASSERT_TRUE(victim_start(victim));
		tgid = victim->pid;
		hold(locks, nr, victim->tid);
		link_locks(&victim->head, locks, nr);
		ASSERT_TRUE(victim_die(victim));
		ASSERT_EQ(nr, count(locks, nr, MARKED));
		nr_events = read_events(tracing->instance, tracing->events, tgid);
		ASSERT_GE(nr_events, 0);
		if (!nr_events)
			continue;
		last = &tracing->events[nr_events < NR_EVENTS ? nr_events - 1 : NR_EVENTS - 1];
		if (strcmp(last->name, "robust_walk")) {
			cut++;
			continue;
		}
		whole++;
		ASSERT_EQ(nr, last->marked);
		ASSERT_STREQ("end", last->reason);
	}
	switcher.stop = 1;
	ASSERT_TRUE(happens(switcher.stopped));
	EXPECT_GE(whole, NR_SWITCHED);
	EXPECT_GE(cut, NR_SWITCHED);
}

/*
 * robust_clear. A thread that is not the first one of its process releases a lock,
 * and the kernel clears its pending pointer: in FUTEX_ROBUST_UNLOCK, for a signal in
 * the middle of the vDSO's function, or for the death there.
 *
 * The thread is stepped through the function. The first stop at which the word is
 * released is in the middle, and the signal is the one that stopped it. In a death the
 * kernel can do it only if it could not do it for the signal: the page of the pointer
 * is held back, and comes when the thread has begun to exit.
 */
enum release {
	BY_CALL,
	BY_VDSO,
	KILLED_IN_VDSO,
	/* By a store that waits for its page */
	DIES_IN_VDSO,
};

struct clearing {
	enum release release;
	enum width width;
	int op;
	struct try_unlock function;
	struct robust_lock lock;
	struct robust_lock witness;
	/* The list of the thread; NULL if it is the victim's own, which is native */
	struct held_page *held;
	/* A pending pointer of LIST32 that is in no list */
	__u32 pending32;
	/* The argument, and the same address without a tag */
	volatile void *argument;
	uintptr_t pending;
	volatile bool begun, done;
	volatile long result;
	volatile __u32 tid;
};

FIXTURE(trace_clear)
{
	struct tracing tracing;
	struct clearing *clearing;
};

FIXTURE_VARIANT(trace_clear)
{
	enum release release;
	enum width width;
	int op;
	/* No other event is enabled, so that lists are walked as without events */
	bool alone;
	uintptr_t tag;
	const char *by;
};

FIXTURE_VARIANT_ADD(trace_clear, call) {
	.op = FUTEX_WAKE,
	.by = "call",
};

FIXTURE_VARIANT_ADD(trace_clear, call_list32) {
	.op = FUTEX_WAKE | FUTEX_ROBUST_LIST32,
	.width = LIST32,
	.by = "call",
};

FIXTURE_VARIANT_ADD(trace_clear, call_pi) {
	.op = FUTEX_UNLOCK_PI,
	.by = "call",
};

FIXTURE_VARIANT_ADD(trace_clear, call_alone) {
	.op = FUTEX_WAKE,
	.alone = true,
	.by = "call",
};

FIXTURE_VARIANT_ADD(trace_clear, signal) {
	.release = BY_VDSO,
	.by = "signal",
};

FIXTURE_VARIANT_ADD(trace_clear, signal_list32) {
	.release = BY_VDSO,
	.width = LIST32,
	.by = "signal",
};

FIXTURE_VARIANT_ADD(trace_clear, killed) {
	.release = KILLED_IN_VDSO,
	.by = "signal",
};

FIXTURE_VARIANT_ADD(trace_clear, killed_list32) {
	.release = KILLED_IN_VDSO,
	.width = LIST32,
	.by = "signal",
};

FIXTURE_VARIANT_ADD(trace_clear, killed_alone) {
	.release = KILLED_IN_VDSO,
	.alone = true,
	.by = "signal",
};

FIXTURE_VARIANT_ADD(trace_clear, exit) {
	.release = DIES_IN_VDSO,
	.by = "exit",
};

FIXTURE_VARIANT_ADD(trace_clear, exit_list32) {
	.release = DIES_IN_VDSO,
	.width = LIST32,
	.by = "exit",
};

FIXTURE_VARIANT_ADD(trace_clear, exit_alone) {
	.release = DIES_IN_VDSO,
	.alone = true,
	.by = "exit",
};

#ifdef __aarch64__
VARIANT_WITH_TAG(trace_clear, exit_tagged) {
	.release = DIES_IN_VDSO,
	.tag = TAG,
	.by = "exit",
};
#endif

/* Whether the pending pointer is narrower than those of the list that is native */
static bool is_foreign(enum width width)
{
	return POP_SIZE(width) != sizeof(long);
}

#ifdef __x86_64__
#define LOW_MEMORY	MAP_32BIT
#define HAS_LIST32	true

static bool register_list32(void *page)
{
	return !set_robust_list_32(page);
}

static size_t pending32_offset(void)
{
	return offsetof(struct head_32, list_op_pending);
}

static void fill_list32(void *page, struct clearing *clearing)
{
	struct head_32 *head = page;
	__u32 link = (uintptr_t)head;

	head->next = (uintptr_t)&clearing->witness.entry;
	head->futex_offset = LOCK_OFFSET;
	head->list_op_pending = (uintptr_t)&clearing->lock.entry;
	/* A link of 4 bytes, in the place of a wider one */
	memcpy(&clearing->witness.entry, &link, sizeof(link));
}
#else
#define LOW_MEMORY	0
#define HAS_LIST32	(sizeof(long) == 4)

static bool register_list32(void *page)
{
	return false;
}

static size_t pending32_offset(void)
{
	return 0;
}

static void fill_list32(void *page, struct clearing *clearing)
{
}
#endif

static void *low_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | LOW_MEMORY, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void *release_in_thread(void *arg)
{
	struct victim *victim = arg;
	struct clearing *clearing = victim->data;
	struct try_unlock function = clearing->function;
	pid_t tid = syscall(SYS_gettid);

	set_name();
	if (clearing->held && !hold_back(clearing->held))
		_exit(KSFT_SKIP);
	if (clearing->held && is_foreign(clearing->width) &&
	    !register_list32(clearing->held->page))
		_exit(KSFT_SKIP);
	if (clearing->release != BY_CALL && ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(KSFT_FAIL);
	victim_hold(victim);
	if (clearing->release != BY_CALL)
		syscall(SYS_tgkill, getpid(), tid, SIGSTOP);

	clearing->begun = true;
	if (clearing->release == BY_CALL)
		clearing->result = unlock_call(&clearing->lock.word, clearing->op, 1,
					       clearing->argument);
	else
		clearing->result = try_unlock(&function, &clearing->lock.word, clearing->tid,
					      clearing->argument);
	clearing->done = true;
	for (;;)
		pause();
	return NULL;
}

static void run_release(struct victim *victim)
{
	if (!start_small_thread(release_in_thread, victim))
		_exit(KSFT_FAIL);
	for (;;)
		pause();
}

FIXTURE_SETUP(trace_clear)
{
	struct tracing *tracing = &self->tracing;
	struct clearing *clearing = low_memory(sizeof(*clearing));

	ASSERT_TRUE(!!clearing);
	if (variant->release == BY_CALL)
		REQUIRE_UNLOCK_CALL();
	else if (!find_try_unlock(&clearing->function, variant->width))
		SKIP_TEST("the vDSO has no such function");
	if (variant->release == DIES_IN_VDSO && is_foreign(variant->width) && !HAS_LIST32)
		SKIP_TEST("a 64-bit program has no 32-bit list here");

	tracing_setup(_metadata, tracing);
	ASSERT_EQ(0, access(TRACEFS "/events/futex/robust_clear", F_OK));
	if (variant->alone) {
		ASSERT_TRUE(enable_all(tracing->instance, false));
		ASSERT_TRUE(enable_event(tracing->instance, "robust_clear", true));
	}
	self->clearing = clearing;
	clearing->release = variant->release;
	clearing->width = variant->width;
	clearing->op = variant->op;
	tracing->victim->data = clearing;
	tracing->victim->run = run_release;
	if (variant->release == DIES_IN_VDSO) {
		clearing->held = held_alloc(false);
		ASSERT_TRUE(!!clearing->held);
		clearing->held->page = low_memory(clearing->held->size);
		ASSERT_TRUE(!!clearing->held->page);
	}
}

FIXTURE_TEARDOWN(trace_clear)
{
	__u32 tid = self->clearing->tid;

	/* While a thread is traced its process does not end */
	if (tid && self->tracing.victim->pid > 0)
		end_steps(tid);
	tracing_end(_metadata, &self->tracing);
}

/* A victim that has the lock, which is pending, and a witness on its list */
static bool start_clearing(struct tracing *tracing, struct clearing *clearing, uintptr_t tag)
{
	struct victim *victim = tracing->victim;
	struct robust_list_head *head = &victim->head;

	if (clearing->held) {
		head = (void *)clearing->held->page;
		clearing->pending = (uintptr_t)head + pending32_offset();
		if (!is_foreign(clearing->width)) {
			clearing->pending = (uintptr_t)&head->list_op_pending;
			victim->registered = head;
		}
	} else if (is_foreign(clearing->width)) {
		clearing->pending32 = ~0U;
		clearing->pending = (uintptr_t)&clearing->pending32;
	} else {
		clearing->pending = (uintptr_t)&head->list_op_pending;
	}
	clearing->argument = (void *)(clearing->pending | tag);

	if (!victim_start(victim))
		return false;
	clearing->tid = victim->tid;
	clearing->lock.word = victim->tid;
	clearing->witness.word = victim->tid;
	/* A page that is held back gets its content when it is brought */
	if (clearing->held)
		return take_descriptor(clearing->held, victim->pid);
	link_locks(head, &clearing->witness, 1);
	if (!is_foreign(clearing->width))
		head->list_op_pending = &clearing->lock.entry;
	return true;
}

/* Let it run into the page, kill it there, and bring the page when it exits */
static void die_in_store(struct __test_metadata *_metadata, struct clearing *clearing)
{
	struct robust_list_head *head = (void *)clearing->held->page;
	pid_t tid = clearing->tid;
	int status;

	ASSERT_EQ(0, ptrace(PTRACE_SETOPTIONS, tid, NULL, (void *)PTRACE_O_TRACEEXIT));
	ASSERT_EQ(0, ptrace(PTRACE_CONT, tid, NULL, NULL));
	ASSERT_TRUE(page_asked(clearing->held));
	ASSERT_TRUE(happens(!clearing->lock.word));
	ASSERT_EQ(0, kill(tid, SIGKILL));
	ASSERT_EQ(tid, waitpid(tid, &status, __WALL));
	ASSERT_TRUE(WIFSTOPPED(status));
	ASSERT_EQ(SIGTRAP | PTRACE_EVENT_EXIT << 8, status >> 8);

	/* No lock any more, and the same number by chance */
	clearing->lock.word = tid;
	ASSERT_TRUE(bring_page(clearing->held, 0));
	if (is_foreign(clearing->width)) {
		fill_list32(head, clearing);
	} else {
		init_head(head);
		link_locks(head, &clearing->witness, 1);
		head->list_op_pending = &clearing->lock.entry;
	}
	ASSERT_EQ(0, ptrace(PTRACE_CONT, tid, NULL, NULL));
	ASSERT_EQ(tid, waitpid(tid, &status, __WALL));
	ASSERT_TRUE(WIFSIGNALED(status));
}

TEST_F(trace_clear, event)
{
	struct tracing *tracing = &self->tracing;
	struct clearing *clearing = self->clearing;
	size_t size = POP_SIZE(variant->width);
	struct event *clear = NULL;
	int i, nr, steps, status, nr_clear = 0;
	pid_t pid;
	__u32 tid;

	if (!start_clearing(tracing, clearing, variant->tag)) {
		ASSERT_TRUE(victim_skipped(tracing->victim));
		SKIP(return, "needs userfaultfd, and root");
	}
	pid = tracing->victim->pid;
	tid = clearing->tid;
	ASSERT_NE((__u32)pid, tid);
	tell(&tracing->victim->go);

	if (variant->release == BY_CALL) {
		ASSERT_TRUE(happens(clearing->done));
		EXPECT_EQ(0, clearing->result);
		EXPECT_EQ(0U, clearing->lock.word);
	} else {
		ASSERT_EQ((pid_t)tid, waitpid(tid, &status, __WALL));
		ASSERT_TRUE(WIFSTOPPED(status));
	}
	if (variant->release == BY_VDSO || variant->release == KILLED_IN_VDSO) {
		for (steps = 0; steps < MAX_STEPS && clearing->lock.word; steps++) {
			enum progress progress = step(tid);

			if (progress == CANNOT_STEP)
				SKIP(return, "the architecture has no PTRACE_SINGLESTEP");
			ASSERT_EQ(STOPPED, progress);
		}
		if (steps == MAX_STEPS)
			SKIP(return, "an exclusive store never succeeds after a stop");
		EXPECT_FALSE(clearing->done);
	}
	if (variant->release == KILLED_IN_VDSO) {
		/* As in die_in_store() */
		clearing->lock.word = tid;
		end_steps(tid);
	} else if (variant->release == BY_VDSO) {
		ASSERT_EQ(0, ptrace(PTRACE_DETACH, tid, NULL, NULL));
		ASSERT_TRUE(happens(clearing->done));
		EXPECT_EQ((long)tid, clearing->result);
	} else if (variant->release == DIES_IN_VDSO) {
		die_in_store(_metadata, clearing);
	}

	nr = read_events(tracing->instance, tracing->events, pid);
	ASSERT_LT(0, nr);
	ASSERT_GE(NR_EVENTS, nr);
	for (i = 0; i < nr; i++) {
		if (strcmp(tracing->events[i].name, "robust_clear"))
			continue;
		clear = &tracing->events[i];
		nr_clear++;
		TH_LOG("by=%s size=%llu", clear->by, clear->size);
	}
	ASSERT_EQ(1, nr_clear);
	if (variant->alone)
		EXPECT_EQ(1, nr);
	EXPECT_STREQ(NAME, clear->comm);
	EXPECT_EQ(tid, clear->pid);
	EXPECT_EQ(pid, clear->tgid);
	EXPECT_EQ(clearing->pending, clear->address);
	EXPECT_EQ(size, clear->size);
	EXPECT_STREQ(variant->by, clear->by);

	/* What the event says has happened, and the walk of a dead thread took place */
	for (i = 0; i < (int)size; i++)
		EXPECT_EQ(0, ((volatile char *)clearing->pending)[i]);
	if (variant->release == KILLED_IN_VDSO || variant->release == DIES_IN_VDSO) {
		EXPECT_EQ(tid, clearing->lock.word);
		EXPECT_EQ(MARKED, clearing->witness.word);
	}
}

#ifdef __x86_64__
/* A list of each kind: two walks, and compat tells which is which */
static void run_both_lists(struct victim *victim)
{
	if (set_robust_list_32(victim->data))
		_exit(KSFT_FAIL);
	victim_hold(victim);
	_exit(0);
}

struct compat_list {
	struct head_32 head;
	struct lock_32 lock;
};

TEST_F(trace, compat)
{
	struct tracing *tracing = &self->tracing;
	struct victim *victim = tracing->victim;
	struct compat_list *list;
	struct event *event = tracing->events;

	list = mmap(NULL, sizeof(*list), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)list);
	list->head.next = (uintptr_t)&list->lock.next;
	list->head.futex_offset = -(int)offsetof(struct lock_32, next);
	list->lock.next = (uintptr_t)&list->head;
	victim->data = &list->head;
	victim->run = run_both_lists;
	if (!victim_start(victim) && WIFSIGNALED(victim->status))
		SKIP(return, "needs a kernel for 32-bit programs");
	ASSERT_NE(0U, victim->tid);
	tracing->locks[0].word = victim->tid;
	list->lock.word = victim->tid;
	link_locks(&victim->head, tracing->locks, 1);

	die_traced(_metadata, tracing);
	EXPECT_EQ(MARKED, tracing->locks[0].word);
	EXPECT_EQ(MARKED, list->lock.word);
	ASSERT_EQ(4, tracing->nr_events);
	EXPECT_EQ(0U, event[0].compat);
	EXPECT_EQ((uintptr_t)&tracing->locks[0].word, event[0].address);
	EXPECT_EQ(0U, event[1].compat);
	EXPECT_EQ((uintptr_t)&victim->head, event[1].head);
	EXPECT_EQ(1U, event[2].compat);
	EXPECT_EQ((uintptr_t)&list->lock.word, event[2].address);
	EXPECT_EQ(1U, event[3].compat);
	EXPECT_EQ((uintptr_t)&list->head, event[3].head);
	EXPECT_EQ(1U, event[3].marked);
}
#else
TEST_F(trace, compat)
{
	SKIP(return, "needs a 64-bit program that can make 32-bit calls");
}
#endif

TEST_HARNESS_MAIN
