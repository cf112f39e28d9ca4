// SPDX-License-Identifier: GPL-2.0
/*
 * Threads die with thousands of locks while something is done to their memory, to their
 * process, or to the locks, that a kernel near a distribution's can do.
 *
 * In each attack all words that carry the TID of a dead thread are marked, no other word and
 * no memory between them is changed, of the waiters of each lock with FUTEX_WAITERS one is
 * woken, PI futexes go to their waiters, and the exit ends in time. And each has a count of
 * what it is about, which must not be zero: what is done repeatedly must have been done within a
 * walk, or a walk within it. An attack is repeated until then. The walk takes place between the
 * mark of the first lock on the list and that of the pending one.
 *
 *   attacks.dump		A process of eight threads dumps core to a program that
 *				does not read it, or does not end, and is killed; or the
 *				program is. Before, nothing is marked.
 *   attacks.huge_private	Huge pages are split and collapsed, of anonymous memory
 *   attacks.huge_shared	... and of shared memory.
 *   attacks.migrated		Pages are moved from node to node by move_pages().
 *   attacks.compacted		Pages are moved by compaction.
 *   attacks.merged		Pages with words are merged by KSM, those of other locks
 *				with the same contents among them.
 *   attacks.swapped		Pages are swapped out by MADV_PAGEOUT and
 *				process_madvise(), and swap is taken away.
 *   attacks.cpus		Threads of another process requeue waiters to and from
 *				the locks, wake them, and change words by
 *				FUTEX_WAKE_OP, just ahead of the walk.
 *   attacks.exec		Threads walk long lists because another one execs, which is
 *				killed meanwhile or not.
 *   attacks.protected		In an exec the pages with words are write-protected by
 *				userfaultfd, which answers late, or without effect and
 *				then twice, or after a kill. In an exit it is not asked.
 *   attacks.traced		Threads are stopped at PTRACE_EVENT_EXIT, the process is
 *				killed, and then the tracer.
 *   attacks.frozen		An owner that is frozen by a cgroup is killed, by each of
 *				both versions.
 *   attacks.spaces		Two processes that share their memory die at once. Their
 *				lists lead into each other, and pages with words are
 *				replaced meanwhile, which io_uring has pinned.
 *
 * usage: PROGRAM [NAME]
 *
 *	NAME  only attacks that have this in their names (all)
 *
 * The output is KTAP. The exit status is 0 if no test failed.
 */
#define _GNU_SOURCE
#include "attacks.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Seconds for one of them, in a slow guest */
#define ATTACK_LIMIT	400

#define SKIPPED		4

#define SETTINGS	3

static const struct attack {
	const char *name;
	void (*run)(void);
	/* Files whose first line, or the word that is in brackets there, it changes */
	const char *settings[SETTINGS];
	/* Removes what it may have left behind */
	void (*clean)(void);
} attacks[] = {
	{ .name = "attacks.dump", .run = attack_dump,
	  .settings = { CORE_PATTERN, CORE_PIPE_LIMIT } },
	{ .name = "attacks.huge_private", .run = attack_huge_private },
	{ .name = "attacks.huge_shared", .run = attack_huge_shared,
	  .settings = { SHMEM_ENABLED } },
	{ .name = "attacks.migrated", .run = attack_migrated },
	{ .name = "attacks.compacted", .run = attack_compacted },
	{ .name = "attacks.merged", .run = attack_merged,
	  .settings = { KSM "run", KSM "pages_to_scan", KSM "sleep_millisecs" } },
	{ .name = "attacks.swapped", .run = attack_swapped,
	  .clean = remove_swap },
	{ .name = "attacks.cpus", .run = attack_cpus },
	{ .name = "attacks.exec", .run = attack_exec },
	{ .name = "attacks.protected", .run = attack_protected },
	{ .name = "attacks.traced", .run = attack_traced },
	{ .name = "attacks.frozen", .run = attack_frozen,
	  .clean = remove_groups },
	{ .name = "attacks.spaces", .run = attack_spaces },
};

#define ATTACKS	((int)ARRAY_SIZE(attacks))

int failed;

/* From the process of an attack to the first one */
static struct {
	char reason[200];	/* why it was skipped */
	volatile int clean;
} *message;

void skip(const char *reason)
{
	snprintf(message->reason, sizeof(message->reason), "%s", reason);
	_exit(failed ? 1 : SKIPPED);
}

void give_up(const char *what)
{
	diag("%s", what);
	_exit(1);
}

void clean_later(void)
{
	message->clean = 1;
}

void must_meet(bool met, const char *what)
{
	if (met)
		return;
	if (!failed && sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip("one CPU, and nothing took place within a walk");
	diag("within no walk: %s", what);
	failed++;
}

bool once_more(struct repeat *repeat, int least, bool met)
{
	if (!repeat->deaths)
		repeat->end = now_seconds() + SECONDS;
	if (failed || (repeat->deaths >= least && (met || now_seconds() > repeat->end)))
		return false;
	repeat->deaths++;
	return true;
}

long futex(volatile unsigned int *word, int operation, unsigned int value)
{
	return syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

void start_thread(pthread_t *thread, void *(*body)(void *), void *argument)
{
	pthread_attr_t attributes;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN + 65536);
	error = pthread_create(thread, &attributes, body, argument);
	pthread_attr_destroy(&attributes);
	if (error)
		give_up("cannot start a thread, give the guest more memory");
}

size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

bool first_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	bool found = file && fgets(line, size, file);

	if (file)
		fclose(file);
	if (found)
		line[strcspn(line, "\n")] = 0;
	return found;
}

/* Of "always [never]" it is the word in brackets. */
static bool setting(const char *path, char *value, size_t size)
{
	char line[256], *word;

	if (!path || !first_line(path, line, sizeof(line)))
		return false;
	word = strchr(line, '[');
	if (word)
		line[strcspn(line, "]")] = 0;
	snprintf(value, size, "%s", word ? word + 1 : line);
	return true;
}

/* All of its group, and what has become a child of this process */
static bool end_group(pid_t group)
{
	long long end = now_ms() + EXIT_LIMIT * 1000;

	kill(-group, SIGKILL);
	while (waitpid(-1, NULL, WNOHANG) >= 0) {
		if (now_ms() > end) {
			diag("a process outlives SIGKILL");
			return false;
		}
		sleep_ms(5);
	}
	return true;
}

/* Its wait status */
static int run(const struct attack *attack)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		bail_out("cannot start a process");
	if (!pid) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		owners = map_memory(sizeof(*owners), MAP_SHARED);
		attack->run();
		_exit(failed ? 1 : 0);
	}
	setpgid(pid, pid);
	status = end_of(pid, ATTACK_LIMIT);
	return end_group(pid) ? status : -1;
}

static bool test(const struct attack *attack, int number)
{
	char values[SETTINGS][256];
	bool saved[SETTINGS];
	double began = now_seconds();
	int status;

	memset(message, 0, sizeof(*message));
	for (int i = 0; i < SETTINGS; i++)
		saved[i] = setting(attack->settings[i], values[i], sizeof(values[i]));
	status = run(attack);
	for (int i = 0; i < SETTINGS; i++)
		if (saved[i] && !write_file(attack->settings[i], values[i]))
			diag("%s cannot be restored", attack->settings[i]);
	if (message->clean)
		attack->clean();
	diag("%s: %.1f s", attack->name, now_seconds() - began);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
		printf("ok %d %s # SKIP %s\n", number, attack->name, message->reason);
		return true;
	}
	if (WIFSIGNALED(status))
		diag("ended by signal %d", WTERMSIG(status));
	printf("%sok %d %s\n", status ? "not " : "", number, attack->name);
	return !status;
}

static bool is_wanted(const struct attack *attack, const char *wanted)
{
	return strstr(attack->name, wanted);
}

int main(int argc, char **argv)
{
	const char *wanted = argc > 1 ? argv[1] : "";
	struct rlimit no_core = { 0, RLIM_INFINITY };
	int count = 0, number = 0, bad = 0;
	struct robust_list_head *head;
	size_t length;

	if (argc == 2 && !strcmp(wanted, "execed"))
		return NEW_PROGRAM;
	if (argc == 3 && !strcmp(wanted, "handler"))
		return handle_dump(argv[2]);
	for (int i = 0; i < ATTACKS; i++)
		count += is_wanted(&attacks[i], wanted);
	if (argc > 2 || !count) {
		fprintf(stderr, "usage: %s [NAME], a part of the name of an attack\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 14\n");
	if (syscall(SYS_get_robust_list, 0, &head, &length)) {
		printf("1..0 # SKIP the kernel has no robust futexes\n");
		return 0;
	}
	message = mmap(NULL, sizeof(*message), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (message == MAP_FAILED)
		bail_out("cannot map memory, give the guest more of it");
	setrlimit(RLIMIT_CORE, &no_core);
	/* Orphans become children of this process, which ends them. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	printf("1..%d\n", count);
	for (int i = 0; i < ATTACKS; i++)
		if (is_wanted(&attacks[i], wanted))
			bad += !test(&attacks[i], ++number);
	return bad ? 1 : 0;
}
