// SPDX-License-Identifier: GPL-2.0
/*
 * Memory is exhausted, and the kernel kills a process that holds a thousand locks, with
 * waiters. It is chosen because of its oom_score_adj. All words must be marked, and all
 * waiters woken.
 *
 * The owner itself has written all words, as every owner has, so their pages are present
 * when it dies. Only in the tests of absent pages it has not: then marking a word needs
 * memory, which is exhausted. Locks that cannot be reached are lost, but none before them in
 * the list.
 *
 *   oom.group_owner		A group of processes is at its limit (memory.max)
 *				because of the owner itself.
 *   oom.group_thread		... because of another thread of the owner.
 *   oom.group_bystander	... because of another process, which is not killed.
 *   oom.group_absent_pages	... because of the owner, with locks in memory
 *				that it has never touched.
 *   oom.machine_owner		The machine has no memory left, because of the owner.
 *   oom.machine_bystander	... because of another process, which is not killed.
 *   oom.machine_absent_pages	... because of the owner, with untouched locks.
 *
 * usage: PROGRAM
 *
 * The output is KTAP. The exit status is 0 if every test passed, else 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts/locks.h"
#include "parts/util.h"

#define HELD		1000
#define GROUPS		"/sys/fs/cgroup"
#define GROUP		GROUPS "/oom"
#define GROUP_LIMIT	(48 << 20)
#define PAGE		4096
/* Size of each allocation, and of the owner's memory in the bystander tests */
#define BULK		(16 << 20)
/* Seconds until a process is chosen and dead, in a slow guest. */
#define TIME_LIMIT	240

enum eater { OWNER, THREAD_OF_OWNER, BYSTANDER };

struct test {
	const char *name;
	int in_group;
	enum eater eater;
	int absent;
};

static const struct test tests[] = {
	{ "oom.group_owner", 1, OWNER, 0 },
	{ "oom.group_thread", 1, THREAD_OF_OWNER, 0 },
	{ "oom.group_bystander", 1, BYSTANDER, 0 },
	{ "oom.group_absent_pages", 1, OWNER, 1 },
	{ "oom.machine_owner", 0, OWNER, 0 },
	{ "oom.machine_bystander", 0, BYSTANDER, 0 },
	{ "oom.machine_absent_pages", 0, OWNER, 1 },
};

#define TESTS	((int)ARRAY_SIZE(tests))

static struct control {
	volatile pid_t owner;
	volatile int go;
	volatile int done;
} *control;

/* The head of the owner's list, in private memory, as with the C libraries. */
static struct robust_list_head head;
static int failed;

#define check(condition)						\
do {									\
	if (!(condition)) {						\
		diag("not true: %s", #condition);			\
		failed++;						\
	}								\
} while (0)

/* The number of processes that the kernel has killed for lack of memory. */
static long long chosen(const struct test *test)
{
	return test->in_group ? number_in(GROUP "/memory.events", "oom_kill") :
				number_in("/proc/vmstat", "oom_kill");
}

static int make_group(void)
{
	char limit[32];

	mount("cgroup2", GROUPS, "cgroup2", 0, NULL);
	if (!write_file(GROUPS "/cgroup.subtree_control", "+memory"))
		return 0;
	if (mkdir(GROUP, 0755))
		bail_out_all("cannot create a group of processes");
	snprintf(limit, sizeof(limit), "%d", GROUP_LIMIT);
	if (!write_file(GROUP "/memory.max", limit))
		bail_out_all("cannot limit the memory of a group");
	/* There may be no swap to limit. */
	write_file(GROUP "/memory.swap.max", "0");
	return 1;
}

/* Until a process is killed because of it, or the first lock is marked. */
static void *eat(void *unused)
{
	while (!control->done) {
		volatile char *memory = mmap(NULL, BULK, PROT_READ | PROT_WRITE,
					     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (memory == MAP_FAILED)
			break;
		for (size_t i = 0; i < BULK && !(slot_of(0)->word & FUTEX_OWNER_DIED); i += PAGE)
			memory[i] = 1;
		if (slot_of(0)->word & FUTEX_OWNER_DIED)
			break;
	}
	return unused;
}

static void enter(const struct test *test, const char *badness)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!write_file("/proc/self/oom_score_adj", badness))
		bail_out_all("cannot write oom_score_adj");
	if (test->in_group && !write_file(GROUP "/cgroup.procs", "0"))
		bail_out_all("cannot enter the group");
}

static void own(const struct test *test)
{
	pthread_t thread;

	enter(test, "1000");
	if (!test->absent)
		take_all(&head, own_tid());
	register_list(&head);
	if (test->eater == BYSTANDER)
		memset(map_memory(BULK, MAP_PRIVATE), 1, BULK);
	control->owner = own_tid();
	while (!control->go)
		sleep_ms(1);
	if (test->eater == OWNER) {
		/* In the tests of absent pages this process must not read a word. */
		for (;;) {
			volatile char *memory = map_memory(BULK, MAP_PRIVATE);

			for (size_t i = 0; i < BULK; i += PAGE)
				memory[i] = 1;
		}
	}
	if (test->eater == THREAD_OF_OWNER && pthread_create(&thread, NULL, eat, NULL))
		bail_out_all("cannot start a thread");
	for (;;)
		pause();
}

static pid_t start(const struct test *test, void (*what)(const struct test *))
{
	pid_t pid = fork();

	if (pid < 0)
		bail_out_all("cannot start a process");
	if (pid)
		return pid;
	what(test);
	_exit(0);
}

static void stand_by(const struct test *test)
{
	enter(test, "0");
	eat(NULL);
}

static void run(const struct test *test)
{
	long long before = chosen(test), began = now_ms();
	struct outcome outcome;
	/* Threads start slowly in a slow guest: only two owners have all waiters. */
	int waiting = test->eater == OWNER && !test->absent ? 1 : 16;
	pid_t owner, bystander = 0;
	int status;

	memset(control, 0, sizeof(*control));
	make_area(MAP_SHARED, HELD, test->absent ? PARTS : 1, waiting);
	/* The pages of the locks are charged to this process, which is in no group. */
	memset(slot_of(0), 0, test->absent ? 1 : HELD * STEP);
	owner = start(test, own);
	while (!control->owner)
		sleep_ms(1);
	if (test->absent)
		take_all(&head, owner);
	start_waiters();
	if (test->eater == BYSTANDER)
		bystander = start(test, stand_by);
	control->go = 1;

	status = end_of(owner, TIME_LIMIT);
	control->done = 1;
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	if (bystander) {
		status = end_of(bystander, TIME_LIMIT);
		check(WIFEXITED(status));
	}
	/* Not every kernel counts them. There are no other kills here. */
	check(before < 0 || chosen(test) == before + 1);

	judge_area(owner, &outcome);
	diag("%d words marked, %d not, %d of %d waiters woken, %d PI, in %lld ms", outcome.marked,
	     outcome.unmarked, outcome.waiters - outcome.not_woken, outcome.waiters,
	     outcome.pi, now_ms() - began);
	check(!outcome.wrong);
	check(!outcome.not_woken);
	if (test->absent) {
		check(outcome.last_marked < outcome.first_unmarked);
	} else {
		check(outcome.marked && !outcome.unmarked && outcome.pending_marked);
		check(outcome.waiters >= HELD / waiting - 10);
	}
	free_area();
}

int main(void)
{
	struct robust_list_head *old;
	int status = 0, groups;
	size_t length;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 14\n");
	if (syscall(SYS_get_robust_list, 0, &old, &length)) {
		printf("1..0 # SKIP the kernel has no robust futexes\n");
		return 0;
	}
	if (!write_file("/proc/self/oom_score_adj", "-1000"))
		bail_out_all("cannot write oom_score_adj");
	control = map_memory(sizeof(*control), MAP_SHARED);
	groups = make_group();
	printf("1..%d\n", TESTS);
	for (int i = 0; i < TESTS; i++) {
		failed = 0;
		if (tests[i].in_group && !groups) {
			printf("ok %d %s # SKIP the kernel has no limits for groups\n", i + 1,
			       tests[i].name);
			continue;
		}
		run(&tests[i]);
		status |= failed;
		printf("%sok %d %s\n", failed ? "not " : "", i + 1, tests[i].name);
	}
	if (groups && rmdir(GROUP))
		diag("cannot remove the group: %s", strerror(errno));
	return status ? 1 : 0;
}
