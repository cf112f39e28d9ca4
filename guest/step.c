// SPDX-License-Identifier: GPL-2.0
/*
 * Kill a thread at every instruction of the C library's robust mutexes.
 *
 * For each function below, and for n = 0, 1, 2, ... until the function has come
 * to its end: a fresh victim is stepped through n instructions and killed by
 * SIGKILL. Two others take the lock, one that already sleeps on it where there
 * is something to sleep on, and one that comes after the death. Each must get
 * it, by 0 or EOWNERDEAD. Two accounts hold 100 together, and the victim moves
 * 40 from one to the other: with 0 a process must find 100. If not, it sees
 * inconsistent data, which the output calls "deceived".
 *
 * A step into a system call that sleeps ends when another process does what the
 * victim waits for. Once for each such call the victim is killed asleep.
 *
 * If all processes that are left sleep, none gets the lock any more. Then the
 * question is what caused that. What the kernel has to do follows from three
 * things in the victim's memory at its last moment: the word, list_op_pending,
 * and whether the mutex is on the list. It must mark the word if that has the
 * victim's TID and one of the two leads to it, and wake one waiter if the word
 * had FUTEX_WAITERS; it must wake one waiter if the mutex is pending with a
 * word that has no TID, or another TID and no FUTEX_WAITERS. If it did all
 * that, the C library has left the lock in a state out of which nothing leads.
 * That is a hole of the library and no failure: it is counted by itself and
 * shown with the instruction. All else is a hang, and a failure.
 *
 * A condition variable has no owner that a kernel could know of. Whether it can
 * still be used after the death is tested as well, and is no failure.
 *
 * usage: step [STRIDE [TEST [PATIENCE]]]
 *
 *	STRIDE    try every STRIDE-th instruction (1)
 *	TEST      only tests that have this in their names (all)
 *	PATIENCE  seconds that anything may take (20)
 *
 * The output is KTAP. The exit status is 0 if no process hung or saw
 * inconsistent data. The machine is x86, of either word size.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Where the C library has the futex word, and the link to the next, in its mutex. */
#ifdef __GLIBC__
#define LIBRARY "glibc"
#define WORD_PLACE 0
#define LINK_PLACE (sizeof(long) == 8 ? 32 : 20)
#else
#define LIBRARY "musl"
#define WORD_PLACE 4
#define LINK_PLACE (4 * sizeof(long))
#endif

/* What the machine calls its things. */
#ifdef __x86_64__
#define INSTRUCTION rip
#define ELF_HEADER Elf64_Ehdr
#define ELF_SECTION Elf64_Shdr
#define ELF_SYMBOL Elf64_Sym
#else
#define INSTRUCTION eip
#define ELF_HEADER Elf32_Ehdr
#define ELF_SECTION Elf32_Shdr
#define ELF_SYMBOL Elf32_Sym
#endif

/* No process here holds more locks than this. */
#define LIST_MAX 16

/* So many failures of one test are shown, the others only counted. */
#define SHOWN_MAX 3

/* Seconds: if all sleep for so long, they will for ever; one look takes no longer. */
#define QUIET 0.1
#define LOOK_MAX 0.01

/* From linux/futex.h, which musl's compiler does not find. */
#define FUTEX_CMP_REQUEUE 4
#define FUTEX_WAITERS 0x80000000U
#define FUTEX_TID_MASK 0x3fffffffU

/* A process that takes the lock, and what came of it. */
struct claim {
	pid_t pid;
	volatile int begun, done, result, sum;
};

static struct stage {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct timespec far;
	volatile int first, second;	/* the accounts */
	volatile int ready;		/* what is waited for with the condition variable */
	volatile int let_go;		/* the holder shall unlock */
	volatile int over;		/* the victim has left the function */
	struct claim holder, early, late, waiter, helper;
} *stage;

struct scenario {
	const char *name;
	void (*before)(void);		/* what the victim does at full speed */
	void (*act)(void);		/* what it is stepped through */
	bool held;			/* another process holds it first */
	bool left;			/* an owner died with the lock before */
	bool awaited;			/* a waiter before the first step */
	bool cond;
};

/* The victim's last moment, and what the kernel has to do after it. */
struct moment {
	long n;
	unsigned long instruction;
	unsigned int word, tid;
	bool pending, listed, asleep;
	bool must_mark, must_wake;
	int sleepers;			/* how many others sleep on the word */
};

struct tally {
	long points, hangs, deceived, stuck, conds_lost;
	long holes, hole_end;
	unsigned long hole_instruction;
};

static double patience_max = 20;
static long stride = 1;
static const char *wanted = "";

static pid_t victim;

/* Where this process, and each fork of it, has the head of its list. */
static unsigned long head;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void doze(void)
{
	struct timespec pause = { .tv_nsec = 100 * 1000 };

	nanosleep(&pause, NULL);
}

static void die(const char *text)
{
	printf("Bail out! %s: %s\n", text, strerror(errno));
	exit(1);
}

static volatile unsigned int *word(void)
{
	return (volatile unsigned int *)((char *)&stage->mutex + WORD_PLACE);
}

/* How many tasks sleep on the word: as many as can be moved to where they are. */
static int sleepers(void)
{
	return syscall(SYS_futex, word(), FUTEX_CMP_REQUEUE, 0, (long)INT_MAX, word(), *word());
}

/*
 * The functions. Each but trylock, where it fails, begins a payment when it has
 * the lock, so that the death leaves something half done.
 */

static void nothing(void)
{
}

static void pay_first(void)
{
	stage->first -= 40;
}

static void act_lock(void)
{
	/* If the last owner has died: it left nothing half done. */
	if (pthread_mutex_lock(&stage->mutex) == EOWNERDEAD)
		pthread_mutex_consistent(&stage->mutex);
	pay_first();
}

static void act_trylock(void)
{
	int result = pthread_mutex_trylock(&stage->mutex);

	if (result == EOWNERDEAD)
		pthread_mutex_consistent(&stage->mutex);
	if (result != EBUSY)
		pay_first();
}

static void act_timedlock(void)
{
	pthread_mutex_timedlock(&stage->mutex, &stage->far);
	pay_first();
}

static void before_unlock(void)
{
	pthread_mutex_lock(&stage->mutex);
	pay_first();
}

static void act_unlock(void)
{
	stage->second += 40;
	pthread_mutex_unlock(&stage->mutex);
}

static void before_consistent(void)
{
	if (pthread_mutex_lock(&stage->mutex) != EOWNERDEAD)
		_exit(1);
}

static void act_consistent(void)
{
	pay_first();
	stage->second += 40;
	pthread_mutex_consistent(&stage->mutex);
	pthread_mutex_unlock(&stage->mutex);
}

static void before_wait(void)
{
	pthread_mutex_lock(&stage->mutex);
}

static void act_wait(void)
{
	while (!stage->ready)
		pthread_cond_wait(&stage->cond, &stage->mutex);
	pay_first();
}

static void act_timedwait(void)
{
	while (!stage->ready)
		pthread_cond_timedwait(&stage->cond, &stage->mutex, &stage->far);
	pay_first();
}

/* A name that is alone on its line is that of a test which needs robust futexes. */
static const struct scenario scenarios[] = {
	{
		.name = "step.lock_free",
		.before = nothing, .act = act_lock,
	}, {
		.name = "step.lock_held",
		.before = nothing, .act = act_lock, .held = true,
	}, {
		.name = "step.lock_left",
		.before = nothing, .act = act_lock, .left = true,
	}, {
		.name = "step.trylock_free",
		.before = nothing, .act = act_trylock,
	}, {
		.name = "step.trylock_held", .held = true, .awaited = true,
		.before = nothing, .act = act_trylock,
	}, {
		.name = "step.trylock_left",
		.before = nothing, .act = act_trylock, .left = true,
	}, {
		.name = "step.timedlock_free",
		.before = nothing, .act = act_timedlock,
	}, {
		.name = "step.timedlock_held",
		.before = nothing, .act = act_timedlock, .held = true,
	}, {
		.name = "step.unlock",
		.before = before_unlock, .act = act_unlock,
	}, {
		.name = "step.unlock_awaited",
		.before = before_unlock, .act = act_unlock, .awaited = true,
	}, {
		.name = "step.consistent_awaited",
		.before = before_consistent, .act = act_consistent, .left = true, .awaited = true,
	}, {
		.name = "step.cond_wait_awaited",
		.before = before_wait, .act = act_wait, .awaited = true, .cond = true,
	}, {
		.name = "step.cond_timedwait_awaited",
		.before = before_wait, .act = act_timedwait, .awaited = true, .cond = true,
	}, {}
};

/*
 * The other processes. This one holds no lock when they begin: it would be on their
 * lists too, with a C library that does not empty them in a fork.
 */

static void start(struct claim *claim, void (*run)(struct claim *claim))
{
	pid_t pid;

	memset(claim, 0, sizeof(*claim));
	pid = fork();
	if (pid < 0)
		die("cannot fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(claim);
		_exit(0);
	}
	claim->pid = pid;
}

static void kill_and_reap(pid_t *pid)
{
	if (!*pid)
		return;
	kill(*pid, SIGKILL);
	while (waitpid(*pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	*pid = 0;
}

static void end(struct claim *claim)
{
	kill_and_reap(&claim->pid);
}

static void hold(struct claim *claim)
{
	pthread_mutex_lock(&stage->mutex);
	claim->begun = 1;
	while (!stage->let_go)
		doze();
	pthread_mutex_unlock(&stage->mutex);
	claim->done = 1;
}

static void use_lock(struct claim *claim)
{
	claim->begun = 1;
	claim->result = pthread_mutex_lock(&stage->mutex);
	claim->sum = stage->first + stage->second;
	if (claim->result == EOWNERDEAD) {
		stage->second = 100 - stage->first;
		pthread_mutex_consistent(&stage->mutex);
	}
	if (!claim->result || claim->result == EOWNERDEAD)
		pthread_mutex_unlock(&stage->mutex);
	claim->done = 1;
}

static void die_with_lock(struct claim *claim)
{
	claim->begun = 1;
	pthread_mutex_lock(&stage->mutex);
}

static void use_cond(struct claim *claim)
{
	int seen;

	pthread_mutex_lock(&stage->mutex);
	seen = stage->ready;
	claim->begun = 1;
	while (stage->ready == seen)
		pthread_cond_wait(&stage->cond, &stage->mutex);
	pthread_mutex_unlock(&stage->mutex);
	claim->done = 1;
}

static void make_ready(struct claim *claim)
{
	claim->begun = 1;
	pthread_mutex_lock(&stage->mutex);
	stage->ready++;
	pthread_cond_broadcast(&stage->cond);
	pthread_mutex_unlock(&stage->mutex);
	claim->done = 1;
}

static char state(pid_t pid)
{
	char path[64], text[256], *mark;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("no /proc, mount it");
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got <= 0)
		return '?';
	text[got] = 0;
	mark = strrchr(text, ')');
	return mark && mark[1] ? mark[2] : '?';
}

/* Whether the process comes no further by itself. */
static bool rests(const struct claim *claim)
{
	return !claim->pid || claim->done || strchr("SZ", state(claim->pid));
}

/* Time that is waited, but for that in which the whole machine stood still. */
struct patience {
	double last, waited, rested;
};

/*
 * Whether it is in vain to wait on: all processes rest, so that none is left to
 * wake another; or the time is over. A process that was woken but gets no CPU
 * does not rest, so a busy machine is not taken for a hang.
 */
static bool in_vain(struct patience *patience)
{
	bool rest = !victim || strchr("St", state(victim));
	double time = now(), passed = time - patience->last;

	rest = rest && rests(&stage->holder) && rests(&stage->early) &&
	       rests(&stage->late) && rests(&stage->waiter) && rests(&stage->helper);
	if (passed > LOOK_MAX)
		passed = patience->last ? LOOK_MAX : 0;
	patience->last = time;
	patience->waited += passed;
	patience->rested = rest ? patience->rested + passed : 0;
	doze();
	return patience->rested > QUIET || patience->waited > patience_max;
}

/* Whether both come to their end; they may be the same. */
static bool finish(struct claim *one, struct claim *other)
{
	struct patience patience = {};

	while (!one->done || !other->done)
		if (in_vain(&patience))
			return false;
	return true;
}

/* Until the process sleeps, or is done. */
static void settle(struct claim *claim)
{
	struct patience patience = {};

	while (!claim->begun || !rests(claim))
		if (in_vain(&patience))
			break;
}

/* Start a process that takes the lock, unless one still waits for it. */
static void want_early(void)
{
	if (stage->early.pid && !stage->early.done)
		return;
	end(&stage->early);
	start(&stage->early, use_lock);
	settle(&stage->early);
}

static void release(void)
{
	stage->let_go = 1;
	while (!stage->holder.done)
		doze();
}

/*
 * The kernel is not asked for the head, as it is what is tested. The link of a
 * mutex that is alone on the list leads to the head.
 */
static void find_head(void)
{
	pthread_mutex_t *mutex = &stage->mutex;
	unsigned long link = (unsigned long)mutex + LINK_PLACE;

	pthread_mutex_lock(mutex);
	head = *(unsigned long *)link;
	if (!head || *(unsigned long *)head != link ||
	    ((long *)head)[1] != WORD_PLACE - (long)LINK_PLACE) {
		printf("Bail out! " LIBRARY " has its list elsewhere: fix LINK_PLACE\n");
		exit(1);
	}
	pthread_mutex_unlock(mutex);
}

/* The error, or 0. */
static int set_stage(void)
{
	pthread_mutexattr_t robust;
	pthread_condattr_t shared;
	int error;

	memset(stage, 0, sizeof(*stage));
	stage->first = 100;
	clock_gettime(CLOCK_REALTIME, &stage->far);
	stage->far.tv_sec += 3600;

	pthread_mutexattr_init(&robust);
	pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
	error = pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
	if (!error)
		error = pthread_mutex_init(&stage->mutex, &robust);
	pthread_condattr_init(&shared);
	pthread_condattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&stage->cond, &shared);
	return error;
}

/* The victim. */

enum progress { STOPPED, SLEEPS, GONE };

/*
 * Until the victim has stopped; or is seen asleep three times, if it may sleep,
 * or for ever.
 */
static enum progress await_stop(bool may_sleep)
{
	struct patience patience = {};
	int tries = 0, asleep = 0, status;

	while (waitpid(victim, &status, WNOHANG | __WALL) != victim) {
		if (++tries < 20) {
			sched_yield();
			continue;
		}
		if (may_sleep && state(victim) == 'S' && ++asleep == 3)
			return SLEEPS;
		if (in_vain(&patience))
			return SLEEPS;
	}
	return WIFSTOPPED(status) ? STOPPED : GONE;
}

static enum progress start_victim(const struct scenario *scenario)
{
	enum progress progress;

	victim = fork();
	if (victim < 0)
		die("cannot fork");
	if (!victim) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		scenario->before();
		kill(getpid(), SIGSTOP);
		scenario->act();
		stage->over = 1;
		for (;;)
			pause();
	}
	progress = await_stop(false);
	if (progress == STOPPED)
		ptrace(PTRACE_SETOPTIONS, victim, NULL, (void *)(long)PTRACE_O_EXITKILL);
	return progress;
}

/* One instruction more. The last one may end asleep. */
static enum progress step_on(const struct scenario *scenario, bool last)
{
	enum progress progress;

	if (ptrace(PTRACE_SINGLESTEP, victim, NULL, NULL))
		return GONE;
	progress = await_stop(true);
	if (progress != SLEEPS || last)
		return progress;

	/* Queue a waiter behind the victim, then end the victim's wait. */
	want_early();
	if (scenario->cond && !stage->ready) {
		start(&stage->helper, make_ready);
		finish(&stage->helper, &stage->helper);
		end(&stage->helper);
	} else if (scenario->held) {
		release();
	}
	return await_stop(false);
}

static unsigned long peek(unsigned long address)
{
	unsigned long value = 0;
	struct iovec here = { &value, sizeof(value) };
	struct iovec there = { (void *)address, sizeof(value) };

	return process_vm_readv(victim, &here, 1, &there, 1, 0) < 0 ? 0 : value;
}

static void look(struct moment *moment)
{
	struct user_regs_struct registers;
	unsigned long link = (unsigned long)&stage->mutex + LINK_PLACE, at;
	bool own;
	int i;

	moment->word = *word();
	moment->tid = victim;
	/* A system call that sleeps is no stop: there is no next instruction. */
	if (!moment->asleep && !ptrace(PTRACE_GETREGS, victim, NULL, &registers))
		moment->instruction = registers.INSTRUCTION;

	moment->pending = (peek(head + 2 * sizeof(long)) & ~1UL) == link;
	at = peek(head) & ~1UL;
	for (i = 0; i < LIST_MAX && at && at != head; i++) {
		moment->listed |= at == link;
		at = peek(at) & ~1UL;
	}

	own = (moment->word & FUTEX_TID_MASK) == moment->tid;
	moment->must_mark = own && (moment->pending || moment->listed);
	if (moment->must_mark)
		moment->must_wake = moment->word & FUTEX_WAITERS;
	else if (!own && moment->pending)
		moment->must_wake = !(moment->word & FUTEX_TID_MASK) ||
				    !(moment->word & FUTEX_WAITERS);
	moment->sleepers = sleepers() - (moment->asleep && moment->pending);
}

/* Whether the kernel has done what it had to. A later claim needs no wakeup. */
static bool kernel_was_right(const struct moment *moment, const struct claim *claim)
{
	if (moment->must_mark && (*word() & FUTEX_TID_MASK) == moment->tid)
		return false;
	return !moment->must_wake || claim == &stage->late || !moment->sleepers ||
	       sleepers() < moment->sleepers;
}

/* What is said of it. */

/* An address in words: with the function, as long as the program has symbols. */
static void name_address(unsigned long address, char *text, size_t size)
{
	static char *file;
	ELF_HEADER *header;
	ELF_SECTION *sections;
	ELF_SYMBOL *symbol, *end;
	struct stat stat;
	int fd, i;

	snprintf(text, size, "%#lx", address);
	if (!file) {
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &stat))
			die("cannot read this program itself");
		file = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (file == MAP_FAILED)
			die("cannot map this program itself");
		close(fd);
	}
	header = (void *)file;
	sections = (void *)(file + header->e_shoff);
	for (i = 0; i < header->e_shnum; i++) {
		if (sections[i].sh_type != SHT_SYMTAB)
			continue;
		symbol = (void *)(file + sections[i].sh_offset);
		end = symbol + sections[i].sh_size / sizeof(*symbol);
		for (; symbol < end; symbol++) {
			if (address - symbol->st_value < symbol->st_size)
				snprintf(text, size, "%s+%#lx", file +
					 sections[sections[i].sh_link].sh_offset +
					 symbol->st_name, address - (long)symbol->st_value);
		}
	}
}

static void show(const struct scenario *scenario, const struct moment *moment, const char *what)
{
	const unsigned char *code = (const unsigned char *)moment->instruction;
	char place[128];
	int i;

	printf("# %s: killed after %ld instructions, ", scenario->name, moment->n);
	if (code) {
		/* The victim is a fork: what it executes is at the same place here. */
		name_address(moment->instruction, place, sizeof(place));
		printf("next is %s:", place);
		for (i = 0; i < 8; i++)
			printf(" %02x", code[i]);
	} else {
		printf("asleep in a system call");
	}
	printf("\n#   %s\n", what);
	printf("#   at its death: word %08x, %d asleep, TID %08x, %spending, %son the list\n",
	       moment->word, moment->sleepers, moment->tid,
	       moment->pending ? "" : "not ", moment->listed ? "" : "not ");
	printf("#   now: word %08x, %d asleep; the kernel had to %s\n", *word(), sleepers(),
	       moment->must_mark ?
	       moment->must_wake ? "mark and wake" : "mark" :
	       moment->must_wake ? "wake" : "do nothing");
}

/* Holes come in rows of instructions, of which the first is shown in full. */
static void end_row(const struct scenario *scenario, const struct tally *tally)
{
	char place[128];

	if (!tally->hole_instruction)
		return;
	name_address(tally->hole_instruction, place, sizeof(place));
	printf("# %s: and so on, up to %ld instructions, where %s is next\n", scenario->name,
	       tally->hole_end, place);
}

static void add_hole(const struct scenario *scenario, const struct moment *moment,
		     const char *who, struct tally *tally)
{
	char text[128];

	if (!tally->holes || moment->n > tally->hole_end + stride) {
		end_row(scenario, tally);
		tally->hole_instruction = 0;
		snprintf(text, sizeof(text), "a hole in " LIBRARY ": %s never gets the lock", who);
		show(scenario, moment, text);
	} else {
		tally->hole_instruction = moment->instruction;
	}
	tally->hole_end = moment->n;
	tally->holes++;
}

enum verdict { RIGHT, HOLE, WRONG };

static enum verdict judge(const struct scenario *scenario, struct claim *claim,
			  const struct moment *moment, struct tally *tally)
{
	const char *who = claim == &stage->early ? "who waited" : "who comes later";
	char text[128];

	if (!finish(claim, claim)) {
		if (kernel_was_right(moment, claim))
			return HOLE;
		snprintf(text, sizeof(text), "%s never gets the lock", who);
		if (++tally->hangs <= SHOWN_MAX)
			show(scenario, moment, text);
		return WRONG;
	}
	if (claim->result ? claim->result != EOWNERDEAD : claim->sum != 100) {
		snprintf(text, sizeof(text), "%s gets %s and finds %d", who,
			 claim->result ? strerror(claim->result) : "0", claim->sum);
		if (++tally->deceived <= SHOWN_MAX)
			show(scenario, moment, text);
		return WRONG;
	}
	return RIGHT;
}

/*
 * Wait and signal, a few times: a condition variable may keep its waiters in two
 * groups in turn, and a dead one is in the way not before the second turn.
 */
static bool cond_works(void)
{
	bool fine = true;
	int turn;

	for (turn = 0; fine && turn < 3; turn++) {
		start(&stage->waiter, use_cond);
		settle(&stage->waiter);
		start(&stage->helper, make_ready);
		fine = finish(&stage->waiter, &stage->helper);
		end(&stage->waiter);
		end(&stage->helper);
	}
	return fine;
}

/* Kill after n instructions, or at the end. How many there were; or none, if stuck. */
static long try_point(const struct scenario *scenario, long n, struct tally *tally)
{
	struct moment moment = {};
	enum progress progress;
	enum verdict verdict;

	set_stage();
	if (scenario->left) {
		start(&stage->late, die_with_lock);
		waitpid(stage->late.pid, NULL, 0);
		if ((*word() & FUTEX_TID_MASK) == (unsigned int)stage->late.pid) {
			printf("# %s: the last owner died, but has the lock still\n",
			       scenario->name);
			tally->stuck++;
		}
		stage->late.pid = 0;
		if (tally->stuck)
			return 0;
	}
	if (scenario->held) {
		start(&stage->holder, hold);
		while (!stage->holder.begun)
			doze();
	}
	progress = start_victim(scenario);
	if (scenario->awaited)
		want_early();

	while (progress == STOPPED && moment.n < n && !stage->over) {
		moment.n++;
		progress = step_on(scenario, moment.n == n);
	}
	moment.asleep = progress == SLEEPS && moment.n == n;
	if (progress != STOPPED && !moment.asleep) {
		printf("# %s: the victim %s after %ld instructions\n", scenario->name,
		       progress == GONE ? "is gone" : "sleeps for ever", moment.n);
		tally->stuck++;
		kill_and_reap(&victim);
		goto out;
	}

	want_early();
	look(&moment);
	kill_and_reap(&victim);
	tally->points++;
	if (scenario->held)
		release();

	verdict = judge(scenario, &stage->early, &moment, tally);
	if (verdict == WRONG)
		goto out;
	if (verdict == HOLE)
		add_hole(scenario, &moment, "who waited", tally);
	start(&stage->late, use_lock);
	if (judge(scenario, &stage->late, &moment, tally) == HOLE && verdict != HOLE)
		add_hole(scenario, &moment, "who comes later", tally);
	if (scenario->cond && stage->late.done && !cond_works() && !tally->conds_lost++)
		show(scenario, &moment, "the condition variable is lost: " LIBRARY
		     " counts on the dead waiter");
out:
	end(&stage->late);
	end(&stage->early);
	end(&stage->holder);
	return tally->stuck ? 0 : moment.n;
}

static bool run(const struct scenario *scenario, int number)
{
	struct tally tally = {};
	double began = now();
	long n, length;
	bool good;

	/* First the whole function, to know its length. */
	length = try_point(scenario, LONG_MAX, &tally);
	for (n = 0; n < length && !tally.stuck; n += stride)
		try_point(scenario, n, &tally);
	end_row(scenario, &tally);

	good = !tally.hangs && !tally.deceived && !tally.stuck;
	printf("%sok %d %s # %ld instructions, %ld kill points, %ld hangs, %ld deceived, ",
	       good ? "" : "not ", number, scenario->name, length, tally.points, tally.hangs,
	       tally.deceived);
	printf("%ld stuck, %ld holes of " LIBRARY ", %ld condition variables lost, %.1f s\n",
	       tally.stuck, tally.holes, tally.conds_lost, now() - began);
	return good;
}

int main(int argc, char **argv)
{
	int number = 0, failed = 0, planned = 0, refused;
	const struct scenario *scenario;

	if (argc > 1)
		stride = atol(argv[1]);
	if (argc > 2)
		wanted = argv[2];
	if (argc > 3)
		patience_max = atof(argv[3]);
	for (scenario = scenarios; scenario->name; scenario++)
		planned += !!strstr(scenario->name, wanted);
	if (argc > 4 || stride < 1 || patience_max <= 0 || !planned) {
		fprintf(stderr, "usage: step [STRIDE [TEST [PATIENCE]]], numbers above 0\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (stage == MAP_FAILED)
		die("no memory");
	refused = set_stage();
	if (!refused)
		find_head();

	printf("TAP version 14\n1..%d\n", planned);
	printf("# " LIBRARY ", %d-bit, every %ld. instruction\n", (int)sizeof(long) * 8, stride);
	if (refused)
		printf("# the C library refuses: no robust mutexes on this kernel\n");
	for (scenario = scenarios; scenario->name; scenario++) {
		if (!strstr(scenario->name, wanted))
			continue;
		if (refused)
			printf("not ok %d %s\n", ++number, scenario->name);
		if (refused || !run(scenario, ++number))
			failed++;
	}
	return failed > 0;
}
