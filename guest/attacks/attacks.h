/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the program attacks have in common: main.c describes it. */
#ifndef ATTACKS_H
#define ATTACKS_H

#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "parts/locks.h"
#include "parts/util.h"

/* Seconds that an exit may take, and anything else that is waited for. */
#define EXIT_LIMIT	60
#define WAIT_LIMIT	60
/* An attack is repeated for so long at most, until it has met a walk. */
#define SECONDS		40

/* The locks of a part, and the area of all of them: a walk that takes a while. */
#define PART_LOCKS	16384
#define AREA_LOCKS	(PARTS * PART_LOCKS)
/* Of so many locks, two have waiters. Besides, one in 512 is a PI futex. */
#define AREA_WAITING	4096

/* Settings of the kernel that attacks change. main.c restores them. */
#define CORE_PATTERN	"/proc/sys/kernel/core_pattern"
#define CORE_PIPE_LIMIT	"/proc/sys/kernel/core_pipe_limit"
#define SHMEM_ENABLED	"/sys/kernel/mm/transparent_hugepage/shmem_enabled"
#define KSM		"/sys/kernel/mm/ksm/"

/* The exit status of this program if it was started by an exec that is attacked. */
#define NEW_PROGRAM	42

/* main.c: each attack is a process of its own, which these end. */
extern int failed;

void __noreturn skip(const char *reason);
void __noreturn give_up(const char *what);
/* After the end of this attack, whatever it is, its clean() is called. */
void clean_later(void);

#define check(condition)						\
do {									\
	if (!(condition) && failed++ < 10)				\
		diag("%s:%d: not true: %s", __FILE__, __LINE__, #condition); \
} while (0)

#define await(condition)						\
do {									\
	long long await_end = now_ms() + WAIT_LIMIT * 1000;		\
									\
	while (!(condition)) {						\
		if (now_ms() > await_end)				\
			give_up("waited in vain: " #condition);		\
		sleep_ms(1);						\
	}								\
} while (0)

/*
 * Something that has to take place during a walk, or nothing was tested: if it did not, the
 * test fails. With one CPU there may be no such moment; then it is skipped.
 */
void must_meet(bool met, const char *what);

/* An attack is repeated until it has met a walk, but not forever. */
struct repeat {
	int deaths;
	double end;
};

bool once_more(struct repeat *repeat, int least, bool met);

long futex(volatile unsigned int *word, int operation, unsigned int value);
void start_thread(pthread_t *thread, void *(*body)(void *), void *argument);
size_t page_size(void);
/* The first line of a file, without its end; false if there is none. */
bool first_line(const char *path, char *line, size_t size);

/*
 * owners.c: the owners of the area of parts/locks.h.
 *
 * One owner has all locks, or each part has an owner, and these are threads of one
 * process.
 */
struct owners {
	volatile pid_t tids[PARTS];
	volatile unsigned int go;
	struct robust_list_head heads[PARTS];
};

extern struct owners *owners;
/* The longest exit, in milliseconds */
extern long long longest;

/*
 * A process, each thread of which registers a list and does @act. On return they have their
 * locks, and the waiters sleep.
 */
pid_t start_owners(void (*act)(int part));

/*
 * A process with one list. It shares the address space of the caller if the memory of the
 * area is private. @touched: it has written all of it before, and not only the caller.
 */
pid_t start_owner(int sharing, bool touched);

/* A process that shares the memory; it calls no function of the C library but syscall(). */
pid_t start_sharing(int (*body)(void *argument), void *argument, int number);

/* Sleep until owners->go, or the end of the process. */
void wait_for_go(void);

/* By a kill, or by its own exit; returns the wait status when it is dead. */
int let_die(pid_t pid, bool killed);
/* The same for one that dies already */
int wait_for_death(pid_t pid);

/* After the death: what became of the locks, of one list or of PARTS of them */
void expect_all_marked(pid_t owner, int lists);

/*
 * strikers.c: threads that do something to the memory, again and again, while its owner
 * dies.
 */
struct striker {
	const char *name;
	/* Before each call; or NULL */
	void (*ready)(void);
	/* One call; false if it had no effect */
	bool (*strike)(void);
	/* If it had one, this counter of /proc/vmstat has grown; or NULL */
	const char *counter;
	/* It does not begin before the owner is about to die */
	bool when_dying;

	unsigned long calls, effects;
	/* Calls with an effect that took place within a walk, or a walk within them */
	unsigned long met;
	pthread_t thread;
};

struct deaths {
	int sharing;
	int locks;
	/* Of the area, before it has anything in it; or NULL */
	void (*prepare)(void);
	/* With the PID of the owner, just before it dies; or NULL */
	void (*before)(pid_t owner);
	/* When it is dead; or NULL */
	void (*after)(void);
	struct striker *strikers;
	int count;
};

/* Let owners die, until each striker has met a walk. */
void run_deaths(const struct deaths *deaths);

/*
 * far.c: a list with its words and its links in different pages. Each page has PER_PAGE of
 * them, at places that are the same in each. Two waiters sleep on the first word of a page.
 */
#define PER_PAGE	64

struct far {
	int pages;
	char *words, *links;
	size_t size;
	pthread_t *waiters;
	int waiter_count;
};

struct far_outcome {
	int marked, unmarked, wrong;
	int woken;		/* first words, marked, with one waiter that was woken */
	int badly_woken;	/* with none, or both, or one although it is not marked */
};

void make_far(struct far *far, int sharing, int pages);
void free_far(struct far *far);
volatile unsigned int *far_word(const struct far *far, int page, int number);
struct robust_list *far_link(const struct far *far, int page, int number);

/* What the word is while it is held */
unsigned int far_held(int number, pid_t owner);

/*
 * The owner has the locks of these pages, up to @end, where the last one is pending. The
 * list goes on at @next.
 */
void own_pages(struct far *far, int first, int end, struct robust_list_head *head, pid_t owner,
	       struct robust_list *next);
/* For the calling thread */
void register_head(struct robust_list_head *head);
/* For start_sharing(): registers the head, stores owners->tids[0], and is killed. */
int own_far(void *head);
/* Returns when all of them sleep. */
void start_pairs(struct far *far, int first, int end);
void judge_pages(struct far *far, int first, int end, pid_t owner, struct far_outcome *outcome);
/* After the last pages were judged */
void end_pairs(struct far *far);

/* The attacks */
void attack_dump(void);
void attack_huge_private(void);
void attack_huge_shared(void);
void attack_migrated(void);
void attack_compacted(void);
void attack_merged(void);
void attack_swapped(void);
void attack_cpus(void);
void attack_exec(void);
void attack_protected(void);
void attack_traced(void);
void attack_frozen(void);
void attack_spaces(void);

/* swapped.c: take away the swap that the attack has left */
void remove_swap(void);

/* stopped.c: the same for cgroups */
void remove_groups(void);

/* dump.c: what the kernel starts with a core dump on its standard input */
int handle_dump(const char *how);

#endif /* ATTACKS_H */
