/* SPDX-License-Identifier: GPL-2.0 */
/* Declarations for the parts of the program step: main.c describes it. */
#ifndef STEP_H
#define STEP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "parts/machine.h"
#include "parts/util.h"

/* The places of the futex word, and of the link to the next, in a mutex of the C library. */
#ifdef __GLIBC__
#define LIBRARY "glibc"
#define WORD_PLACE 0
#define LINK_PLACE (sizeof(long) == 8 ? 32 : 20)
#else
#define LIBRARY "musl"
#define WORD_PLACE 4
#define LINK_PLACE (4 * sizeof(long))
#endif

/* From linux/futex.h, which musl's compiler does not find. */
#define FUTEX_CMP_REQUEUE 4
#define FUTEX_WAITERS 0x80000000U
#define FUTEX_TID_MASK 0x3fffffffU

/* From one check of another process to the next */
#define POLL_NS (100 * 1000)

/* A process that takes the lock, and its result. */
struct claim {
	pid_t pid;
	volatile int begun, done, result, sum;
};

struct stage {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct timespec far;
	volatile int first, second;	/* the accounts */
	volatile int ready;		/* the predicate of the condition variable */
	volatile int let_go;		/* the holder shall unlock */
	volatile int over;		/* the victim has left the function */
	struct claim holder, early, late, waiter, helper;
};

struct scenario {
	const char *name;
	void (*before)(void);		/* the part that runs at full speed */
	void (*act)(void);		/* the function that is stepped */
	bool held;			/* another process holds it first */
	bool left;			/* an owner died with the lock before */
	bool awaited;			/* a waiter before the first step */
	bool cond;
};

/* The victim's last moment, and what the kernel must do after it. */
struct moment {
	long n;
	unsigned long instruction;
	unsigned int word, tid;
	bool pending, listed, asleep;
	bool must_mark, must_wake;
	int sleepers;			/* how many others sleep on the word */
};

struct tally {
	long points, hangs, inconsistent, stuck, conds_lost;
	long holes, hole_end;
	unsigned long hole_instruction;
};

/* scenarios.c */
extern struct stage *stage;

/* The last one has no name. */
extern const struct scenario scenarios[];

/* main.c: the options */
extern double time_limit_max;
extern long stride;

/* claims.c */
volatile unsigned int *lock_word(void);

/* How many tasks sleep on the word */
int sleepers(void);

/* As task_state(), of a task that exists */
char state_of(pid_t pid);

void start_claim(struct claim *claim, void (*run)(struct claim *claim));
void kill_and_reap(pid_t *pid);
void end_claim(struct claim *claim);

/* The functions of the processes */
void hold(struct claim *claim);
void use_lock(struct claim *claim);
void die_with_lock(struct claim *claim);
void use_cond(struct claim *claim);
void make_ready(struct claim *claim);

/* The time waited, without that in which the whole machine was stopped. */
struct waiting {
	double last, waited, rested;
};

bool no_progress(struct waiting *waiting);
bool finish(struct claim *one, struct claim *other);
void settle(struct claim *claim);
void want_early(void);
void release_holder(void);

/* victim.c */
extern pid_t victim;

enum progress { STOPPED, SLEEPS, GONE };

void find_head(void);
enum progress start_victim(const struct scenario *scenario);
enum progress step_on(const struct scenario *scenario, bool last);

/* Fill in the victim's last moment, before it is killed. */
void look(struct moment *moment);

/* show.c */
void show(const struct scenario *scenario, const struct moment *moment, const char *what);
void add_hole(const struct scenario *scenario, const struct moment *moment, const char *waiter,
	      struct tally *tally);
void end_row(const struct scenario *scenario, const struct tally *tally);

#endif /* STEP_H */
