// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The functions of the vDSO that release a robust futex. Between the exchange
 * that releases the word and the store that clears the pending pointer a thread
 * may be stopped, and killed. The kernel then clears the pointer. Tests step a
 * victim through the function by ptrace, and do something at each instruction.
 */
#include <sched.h>
#include <setjmp.h>

#include "robust_unlock.h"

#define GUARD		0xa5a5a5a5U

/* To the call of the function, and what is returned if it is never reached */
#define MAX_STEPS_BEFORE	400
#define LOST		(-2)

/* Tests by breakpoints, which only some architectures have */
#define BREAK_TEST(name)	TEST_F_TIMEOUT(vdso_break, name, 120)

/* What they do, without a signal */
FIXTURE(vdso_unlock)
{
	struct try_unlock function;
	size_t pop_size;
	/* The pending pointer with neighbours */
	__u32 pop[8];
	futex_t words[3];
};

FIXTURE_VARIANT(vdso_unlock)
{
	enum width width;
	bool moved;
};

FIXTURE_VARIANT_ADD(vdso_unlock, native) {
};

FIXTURE_VARIANT_ADD(vdso_unlock, list32) {
	.width = LIST32,
};

FIXTURE_VARIANT_ADD(vdso_unlock, native_moved) {
	.moved = true,
};

FIXTURE_VARIANT_ADD(vdso_unlock, list32_moved) {
	.width = LIST32,
	.moved = true,
};

#define REQUIRE_TRY_UNLOCK(function, width)				\
do {									\
	REQUIRE_ROBUST_LIST();						\
	if (!find_try_unlock(function, width))				\
		SKIP_TEST("the vDSO has no such function");		\
} while (0)

FIXTURE_SETUP(vdso_unlock)
{
	int i;

	REQUIRE_TRY_UNLOCK(&self->function, variant->width);
	if (variant->moved)
		ASSERT_TRUE(move_vdso(&self->function));
	self->pop_size = POP_SIZE(variant->width);
	for (i = 0; i < 8; i++)
		self->pop[i] = GUARD;
	for (i = 0; i < 3; i++)
		self->words[i] = GUARD;
}

FIXTURE_TEARDOWN(vdso_unlock)
{
}

/* How many of the words at the pending pointer, which is the third one, are 0 */
static int count_cleared(const __u32 *pop)
{
	int i, cleared = 0;

	for (i = 0; i < 8; i++) {
		if (!pop[i] && i >= 2)
			cleared++;
		else if (pop[i] != GUARD)
			return -1;
	}
	return cleared;
}

/* A word that has the TID and nothing else becomes 0, and the pointer too. */
TEST_F(vdso_unlock, held)
{
	futex_t *word = &self->words[1];

	*word = OTHER_TID;
	EXPECT_EQ(OTHER_TID, try_unlock(&self->function, word, OTHER_TID, &self->pop[2]));
	EXPECT_EQ(0U, *word);
	EXPECT_EQ(self->pop_size / 4, (size_t)count_cleared(self->pop));
	EXPECT_EQ(0U, self->pop[2]);
	EXPECT_TRUE(self->words[0] == GUARD && self->words[2] == GUARD);
}

/* Any other word is returned, and nothing is changed. */
TEST_F(vdso_unlock, not_held)
{
	static const __u32 values[] = {
		OTHER_TID | FUTEX_WAITERS,
		OTHER_TID | FUTEX_OWNER_DIED,
		OTHER_TID | FUTEX_OWNER_DIED | FUTEX_WAITERS,
		OTHER_TID - 1,
		FUTEX_WAITERS,
		FUTEX_OWNER_DIED,
		FUTEX_TID_MASK,
		~0U,
		1,
		0,
	};
	futex_t *word = &self->words[1];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		*word = values[i];
		EXPECT_EQ(values[i], try_unlock(&self->function, word, OTHER_TID, &self->pop[2]));
		EXPECT_EQ(values[i], *word);
		EXPECT_EQ(0, count_cleared(self->pop));
		EXPECT_TRUE(self->words[0] == GUARD && self->words[2] == GUARD);
	}
}

/* All bits of the TID argument count: the caller may compare with another word. */
TEST_F(vdso_unlock, argument_with_bits)
{
	futex_t *word = &self->words[1];
	__u32 value = OTHER_TID | FUTEX_WAITERS;

	*word = value;
	EXPECT_EQ(value, try_unlock(&self->function, word, value, &self->pop[2]));
	EXPECT_EQ(0U, *word);
	EXPECT_EQ(self->pop_size / 4, (size_t)count_cleared(self->pop));
}

/*
 * What the thread wrote before is seen by the one that finds the word released;
 * with one CPU this proves nothing.
 */
#define NR_RELEASES	2000

struct passed {
	futex_t word;
	__u32 unused[31];
	volatile __u32 data;
	unsigned long wrong;
};

static void *take_and_look(void *arg)
{
	struct passed *passed = arg;
	__u32 i;

	for (i = 1; i <= NR_RELEASES; i++) {
		while (__atomic_load_n(&passed->word, __ATOMIC_ACQUIRE))
			sched_yield();
		if (passed->data != i)
			passed->wrong++;
		__atomic_store_n(&passed->word, OTHER_TID, __ATOMIC_RELEASE);
	}
	return NULL;
}

TEST_F_TIMEOUT(vdso_unlock, releases, 120)
{
	struct passed passed = { .word = OTHER_TID };
	unsigned long pop;
	pthread_t thread;
	__u32 i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, take_and_look, &passed));
	for (i = 1; i <= NR_RELEASES; i++) {
		while (__atomic_load_n(&passed.word, __ATOMIC_ACQUIRE) != OTHER_TID)
			sched_yield();
		passed.data = i;
		pop = 1;
		try_unlock(&self->function, &passed.word, OTHER_TID, &pop);
	}
	pthread_join(thread, NULL);
	EXPECT_EQ(0UL, passed.wrong);
}

/*
 * Stepping. The victim has a lock that is pending, and another one on its list
 * that shows that the walk took place.
 */
enum action {
	RETURN,
	JUMP,
	FORK,
};

struct stage {
	struct try_unlock function;
	enum width width;
	bool moved;
	enum action action;
	/* What the word has besides the TID */
	__u32 bits;
	/* What the address of the pending pointer has besides, as the argument */
	uintptr_t tag;
	struct robust_lock lock;
	struct robust_lock witness;
	/* What is registered: &own_head, or one in a page that is held back */
	struct robust_list_head *head;
	struct robust_list_head own_head;
	/* The pending pointer of LIST32 in a 64-bit program, which has no such list here */
	__u32 pop32;
	/* Behind it: must stay GUARD */
	volatile __u32 behind;
	__u32 tid;
	volatile bool begun, done;
	/* What a handler found, and what the function returned */
	volatile bool handled;
	volatile bool pending_in_handler;
	volatile __u32 word_in_handler;
	volatile __u32 result;
	/* The child of a handler came to its end with all as it should be */
	volatile int child_status;
};

static struct stage *stage;
static sigjmp_buf escape;

/* Whether the pending pointer is that of a list that the kernel walks */
static bool is_listed(void)
{
	return POP_SIZE(stage->width) == sizeof(long);
}

static volatile void *stage_pop(void)
{
	if (is_listed())
		return &stage->head->list_op_pending;
	return &stage->pop32;
}

/* The same as the argument of the function, which may have a tag */
static volatile void *pop_argument(void)
{
	return (void *)((uintptr_t)stage_pop() | stage->tag);
}

static bool is_pending(void)
{
	if (is_listed())
		return *(volatile unsigned long *)stage_pop();
	return *(volatile __u32 *)stage_pop();
}

static void make_pending(void)
{
	init_head(stage->head);
	link_locks(stage->head, &stage->witness, 1);
	if (is_listed())
		stage->head->list_op_pending = &stage->lock.entry;
	else
		stage->pop32 = GUARD;
	stage->behind = GUARD;
}

static void handle(int number)
{
	pid_t pid;

	stage->word_in_handler = stage->lock.word;
	stage->pending_in_handler = is_pending();
	stage->handled = true;
	if (stage->action == JUMP)
		siglongjmp(escape, 1);
	if (stage->action == FORK) {
		pid = fork();
		/* Both go on in the function: the word is shared, and the child is first */
		if (pid)
			waitpid(pid, (int *)&stage->child_status, 0);
	}
}

static void run_steps(void)
{
	struct sigaction action = { .sa_handler = handle };
	/* The next child has the vDSO where it was */
	struct try_unlock function = stage->function;
	pid_t pid = getpid();

	prepare_child();
	sigaction(SIGUSR1, &action, NULL);
	if (set_robust_list(stage->head, sizeof(*stage->head)) ||
	    (stage->moved && !move_vdso(&function)) ||
	    ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(KSFT_FAIL);
	kill(pid, SIGSTOP);

	if (!sigsetjmp(escape, 1)) {
		stage->begun = true;
		stage->result = try_unlock(&function, &stage->lock.word, stage->tid,
					   pop_argument());
		stage->done = true;
	}
	/* A child of the handler has no tracer, and ends here too */
	_exit(KSFT_PASS);
}

/* Start a victim with a fresh stage, and step it until it has begun */
static pid_t start_steps(void)
{
	pid_t pid;
	int status;

	stage->begun = false;
	stage->done = false;
	stage->handled = false;
	stage->result = 0;
	stage->child_status = -1;
	stage->head = &stage->own_head;
	init_head(stage->head);

	pid = fork();
	if (!pid)
		run_steps();
	if (pid < 0 || waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
		return -1;
	stage->tid = pid;
	stage->lock.word = pid | stage->bits;
	stage->witness.word = pid;
	make_pending();
	return pid;
}

/*
 * Step to the call of the function and @steps instructions on, or until it was
 * left. The result is how many there were, -1, or LOST if it never gets there.
 */
static int step_to(pid_t pid, int steps, bool *middle_seen)
{
	int before = 0, n = 0;

	while (!stage->begun) {
		if (step(pid) != STOPPED)
			return -1;
		if (++before > MAX_STEPS_BEFORE)
			return LOST;
	}
	while (!stage->done && n < steps) {
		if (step(pid) != STOPPED)
			return -1;
		n++;
		if (!stage->lock.word && is_pending())
			*middle_seen = true;
	}
	return n;
}

FIXTURE(vdso_step)
{
	int length;
};

FIXTURE_VARIANT(vdso_step)
{
	enum width width;
	bool moved;
	__u32 bits;
	uintptr_t tag;
};

FIXTURE_VARIANT_ADD(vdso_step, native) {
};

FIXTURE_VARIANT_ADD(vdso_step, native_awaited) {
	.bits = FUTEX_WAITERS,
};

FIXTURE_VARIANT_ADD(vdso_step, native_moved) {
	.moved = true,
};

FIXTURE_VARIANT_ADD(vdso_step, list32) {
	.width = LIST32,
};

FIXTURE_VARIANT_ADD(vdso_step, list32_awaited) {
	.width = LIST32,
	.bits = FUTEX_WAITERS,
};

FIXTURE_VARIANT_ADD(vdso_step, list32_moved) {
	.width = LIST32,
	.moved = true,
};

#ifdef __aarch64__
/*
 * A store of user space ignores the highest byte of an address, and needs no
 * prctl() for it. System calls, which do need it, refuse such an address.
 */
VARIANT_WITH_TAG(vdso_step, native_tagged) {
	.tag = TAG,
};

VARIANT_WITH_TAG(vdso_step, list32_tagged) {
	.width = LIST32,
	.tag = TAG,
};
#endif

FIXTURE_SETUP(vdso_step)
{
	bool unused;
	pid_t pid;

	stage = shared_memory(sizeof(*stage));
	ASSERT_TRUE(!!stage);
	REQUIRE_TRY_UNLOCK(&stage->function, variant->width);
	stage->width = variant->width;
	stage->moved = variant->moved;
	stage->bits = variant->bits;
	stage->tag = variant->tag;

	pid = start_steps();
	ASSERT_LT(0, pid);
	if (step(pid) == CANNOT_STEP) {
		end_steps(pid);
		SKIP_TEST("the architecture has no PTRACE_SINGLESTEP");
	}
	self->length = step_to(pid, MAX_STEPS, &unused);
	end_steps(pid);
	/* As under an emulator that takes no branch in a single step */
	if (self->length == LOST)
		SKIP_TEST("a single step does not follow the program");
	ASSERT_LT(0, self->length);
	if (self->length == MAX_STEPS)
		SKIP_TEST("an exclusive store never succeeds after a stop");
	TH_LOG("%d instructions", self->length);
}

FIXTURE_TEARDOWN(vdso_step)
{
}

/* What was found at all points of a test; what counts as an error is in the last four */
struct points {
	int held, released;
	int changed, lost, middle, early;
};

static void expect_good(struct __test_metadata *_metadata, const struct points *points)
{
	TH_LOG("%d points before the release, %d after it", points->held, points->released);
	EXPECT_EQ(0, points->changed);
	EXPECT_EQ(0, points->lost);
	EXPECT_EQ(0, points->middle);
	EXPECT_EQ(0, points->early);
	EXPECT_TRUE(points->held);
	EXPECT_EQ(!stage->bits, !!points->released);
}

/*
 * Kill the victim where it is. If the word is released by then, other data is put
 * in its place, which looks as if the victim held the lock: it must stay. If
 * not, the lock is marked.
 */
static void kill_here(struct __test_metadata *_metadata, pid_t pid, struct points *points)
{
	__u32 word = stage->lock.word;

	if (!word)
		stage->lock.word = stage->tid;
	end_steps(pid);
	ASSERT_EQ(MARKED, stage->witness.word);
	if (!word) {
		points->released++;
		points->changed += stage->lock.word != stage->tid;
		points->middle += is_pending();
		EXPECT_EQ(GUARD, stage->behind);
	} else {
		points->held++;
		points->early += !is_pending();
		if (is_listed())
			points->lost += stage->lock.word != (MARKED | stage->bits);
	}
}

/* A kill at each instruction */
TEST_F_TIMEOUT(vdso_step, killed, 300)
{
	struct points points = { .held = 0 };
	bool middle_seen = false;
	int n;

	for (n = 0; n <= self->length; n++) {
		pid_t pid = start_steps();

		ASSERT_LT(0, pid);
		ASSERT_LE(0, step_to(pid, n, &middle_seen));
		kill_here(_metadata, pid, &points);
	}
	expect_good(_metadata, &points);
}

/* At no stop a tracer sees a word that is released, and a pointer that is not clear. */
TEST_F_TIMEOUT(vdso_step, tracer_sees_no_middle, 60)
{
	bool middle_seen = false;
	pid_t pid = start_steps();

	ASSERT_LT(0, pid);
	ASSERT_LE(0, step_to(pid, MAX_STEPS, &middle_seen));
	EXPECT_TRUE(stage->done);
	EXPECT_FALSE(middle_seen);
	EXPECT_EQ(stage->tid | variant->bits, stage->result);
	EXPECT_EQ(!!variant->bits, is_pending());
	end_steps(pid);
}

/*
 * Send a signal to the victim where it is, and let it run to its end. The handler
 * never finds a word that is released and a pointer that is not clear, nor a clear
 * one while the word is held.
 */
static void signal_here(struct __test_metadata *_metadata, pid_t pid, struct points *points)
{
	int status;

	ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, NULL, (void *)SIGUSR1));
	ASSERT_EQ(pid, waitpid(pid, &status, __WALL));
	/* With fork() it may stop for the end of its child */
	while (WIFSTOPPED(status)) {
		ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, NULL, NULL));
		ASSERT_EQ(pid, waitpid(pid, &status, __WALL));
	}
	ASSERT_TRUE(WIFEXITED(status));
	ASSERT_TRUE(stage->handled);
	EXPECT_EQ(GUARD, stage->behind);
	if (stage->word_in_handler) {
		points->held++;
		points->early += !stage->pending_in_handler;
	} else {
		points->released++;
		points->middle += stage->pending_in_handler;
	}
	if (stage->action == RETURN) {
		EXPECT_EQ(stage->tid | stage->bits, stage->result);
		EXPECT_EQ(!!stage->bits, is_pending());
	}
	if (stage->action == FORK)
		EXPECT_TRUE(WIFEXITED(stage->child_status));
}

/* A signal at each instruction */
static void signal_each(struct __test_metadata *_metadata, int instructions)
{
	struct points points = { .held = 0 };
	bool unused;
	int n;

	for (n = 0; n <= instructions; n++) {
		pid_t pid = start_steps();

		ASSERT_LT(0, pid);
		ASSERT_LE(0, step_to(pid, n, &unused));
		signal_here(_metadata, pid, &points);
	}
	expect_good(_metadata, &points);
}

TEST_F_TIMEOUT(vdso_step, handler_returns, 300)
{
	stage->action = RETURN;
	signal_each(_metadata, self->length);
}

TEST_F_TIMEOUT(vdso_step, handler_jumps, 300)
{
	stage->action = JUMP;
	signal_each(_metadata, self->length);
}

TEST_F_TIMEOUT(vdso_step, handler_forks, 300)
{
	stage->action = FORK;
	signal_each(_metadata, self->length);
}

/*
 * A child that a handler has made in the middle has a copy of the pending pointer,
 * in private memory: it is clear there as well, since it was so before the fork.
 */
struct copied {
	unsigned long pop;
	futex_t word;
};

static struct copied *copied;

static void fork_and_look(int number)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(!copied->word && copied->pop ? KSFT_FAIL : KSFT_PASS);
	waitpid(pid, &status, 0);
	stage->child_status = WEXITSTATUS(status);
	stage->handled = true;
}

TEST_F_TIMEOUT(vdso_step, copy_in_child, 300)
{
	int n, status;

	for (n = 0; n <= self->length; n++) {
		enum progress progress = STOPPED;
		pid_t pid;
		int i;

		stage->begun = false;
		stage->handled = false;
		stage->result = 0;
		stage->child_status = -1;
		pid = fork();
		if (!pid) {
			struct try_unlock function = stage->function;

			prepare_child();
			copied = mmap(NULL, sizeof(*copied), PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			signal(SIGUSR1, fork_and_look);
			copied->pop = 1;
			copied->word = OTHER_TID | variant->bits;
			if ((stage->moved && !move_vdso(&function)) ||
			    ptrace(PTRACE_TRACEME, 0, NULL, NULL))
				_exit(KSFT_FAIL);
			kill(getpid(), SIGSTOP);
			stage->begun = true;
			stage->result = try_unlock(&function, &copied->word, OTHER_TID,
						   (char *)&copied->pop + stage->tag);
			_exit(KSFT_PASS);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, __WALL));
		ASSERT_TRUE(WIFSTOPPED(status));
		for (i = 0; !stage->begun && i < MAX_STEPS; i++)
			ASSERT_EQ(STOPPED, step(pid));
		for (i = 0; i < n && progress == STOPPED; i++)
			progress = step(pid);
		/* Its way to the end may be shorter than that of the other tests */
		if (progress == HAS_ENDED) {
			EXPECT_EQ(OTHER_TID | variant->bits, stage->result);
			break;
		}
		ASSERT_EQ(STOPPED, progress);
		ASSERT_EQ(0, ptrace(PTRACE_CONT, pid, NULL, (void *)SIGUSR1));
		do {
			ASSERT_EQ(pid, waitpid(pid, &status, __WALL));
		} while (WIFSTOPPED(status) && !ptrace(PTRACE_CONT, pid, NULL, NULL));
		ASSERT_TRUE(WIFEXITED(status) && stage->handled);
		EXPECT_EQ(KSFT_PASS, stage->child_status);
		EXPECT_EQ(OTHER_TID | variant->bits, stage->result);
	}
}

#if defined(__riscv) || defined(__aarch64__) || defined(__arm__) || defined(__powerpc__) || \
	defined(__s390__)
/*
 * Breakpoints, where there is no single step, or where it ends the reservation of
 * an exclusive load, so that the store never succeeds. A breakpoint behind the
 * store does not disturb it, and one in front of it makes it fail, once: a second
 * one, at the next instruction, then finds the victim where the exchange has failed.
 */
static size_t instruction_length(uintptr_t at)
{
#if defined(__riscv)
	return (*(const __u16 *)at & 3) == 3 ? 4 : 2;
#elif defined(__s390__)
	return ((*(const __u8 *)at >> 6) + 3) / 2 * 2;
#else
	return 4;
#endif
}

static bool set_breakpoint(pid_t pid, uintptr_t at, unsigned long *before)
{
	size_t length = instruction_length(at);
#if defined(__aarch64__)
	const __u32 instruction = 0xd4200000;
#elif defined(__arm__)
	/* In ARM code, as the function is */
	const __u32 instruction = 0xe7f001f0;
#elif defined(__powerpc__)
	const __u32 instruction = 0x7fe00008;
#elif defined(__s390__)
	const __u16 instruction = 0x0001;
#else
	const __u32 instruction = length == 2 ? 0x9002 : 0x00100073;
#endif
	unsigned long text;

	errno = 0;
	*before = ptrace(PTRACE_PEEKDATA, pid, (void *)at, NULL);
	text = *before;
	memcpy(&text, &instruction, length < sizeof(instruction) ? length : sizeof(instruction));
	return !errno && !ptrace(PTRACE_POKEDATA, pid, (void *)at, (void *)text);
}

/* The address in the PSW is behind the breakpoint */
static bool go_back(pid_t pid, uintptr_t at)
{
#ifdef __s390__
	/* The second word of the registers, with the addressing mode in 31-bit programs */
	if (sizeof(long) == 4)
		at |= 0x80000000;
	return !ptrace(PTRACE_POKEUSER, pid, (void *)sizeof(long), (void *)at);
#else
	return true;
#endif
}

/* Let it run to the instruction at @at; false if it does not come there */
static bool run_to(pid_t pid, uintptr_t at)
{
	unsigned long before;
	int status;

	return set_breakpoint(pid, at, &before) && !ptrace(PTRACE_CONT, pid, NULL, NULL) &&
	       waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status) &&
	       WSTOPSIG(status) == SIGTRAP && go_back(pid, at) &&
	       !ptrace(PTRACE_POKEDATA, pid, (void *)at, (void *)before);
}

FIXTURE(vdso_break)
{
	uintptr_t begin, end;
};

FIXTURE_VARIANT(vdso_break)
{
	enum width width;
	__u32 bits;
	uintptr_t tag;
};

FIXTURE_VARIANT_ADD(vdso_break, native) {
};

FIXTURE_VARIANT_ADD(vdso_break, native_awaited) {
	.bits = FUTEX_WAITERS,
};

FIXTURE_VARIANT_ADD(vdso_break, list32) {
	.width = LIST32,
};

#ifdef __aarch64__
FIXTURE_VARIANT_ADD(vdso_break, native_tagged) {
	.tag = TAG,
};
#endif

FIXTURE_SETUP(vdso_break)
{
	stage = shared_memory(sizeof(*stage));
	ASSERT_TRUE(!!stage);
	REQUIRE_TRY_UNLOCK(&stage->function, variant->width);
	stage->width = variant->width;
	stage->bits = variant->bits;
	stage->tag = variant->tag;
	self->begin = stage->function.address;
	self->end = self->begin + stage->function.size;
	ASSERT_LT(self->begin, self->end);
}

FIXTURE_TEARDOWN(vdso_break)
{
}

/* Do something at each instruction, and at the one behind it after a stop at it */
static void break_each(struct __test_metadata *_metadata, uintptr_t begin, uintptr_t end,
		       void (*act)(struct __test_metadata *_metadata, pid_t pid,
				   struct points *points))
{
	struct points points = { .held = 0 };
	uintptr_t at, next;
	int i;

	for (at = begin; at < end; at = next) {
		next = at + instruction_length(at);
		for (i = 0; i < 2; i++) {
			pid_t pid = start_steps();

			ASSERT_LT(0, pid);
			if (run_to(pid, at) && (!i || (next < end && run_to(pid, next))))
				act(_metadata, pid, &points);
			else
				end_steps(pid);
		}
	}
	expect_good(_metadata, &points);
}

BREAK_TEST(killed)
{
	break_each(_metadata, self->begin, self->end, kill_here);
}

BREAK_TEST(handler_returns)
{
	stage->action = RETURN;
	break_each(_metadata, self->begin, self->end, signal_here);
}
#endif

/*
 * A page that may not be written yet has the head, so that the function's own
 * store waits. The kernel cannot clear the pointer for a thread that is killed
 * there: the walk must not use it all the same.
 */
FIXTURE(vdso_late_store)
{
	struct victim *victim;
	struct held_page *held;
};

FIXTURE_VARIANT(vdso_late_store)
{
	/* What comes while the store waits */
	bool kill;
	bool signal;
	bool moved;
};

FIXTURE_VARIANT_ADD(vdso_late_store, undisturbed) {
};

FIXTURE_VARIANT_ADD(vdso_late_store, signal) {
	.signal = true,
};

FIXTURE_VARIANT_ADD(vdso_late_store, kill) {
	.kill = true,
};

FIXTURE_VARIANT_ADD(vdso_late_store, signal_and_kill) {
	.signal = true,
	.kill = true,
};

FIXTURE_VARIANT_ADD(vdso_late_store, kill_moved) {
	.kill = true,
	.moved = true,
};

static void handle_late(int number)
{
	stage->word_in_handler = stage->lock.word;
	stage->pending_in_handler = is_pending();
	stage->handled = true;
}

static void run_late_store(struct victim *victim)
{
	struct held_page *held = victim->data;

	signal(SIGUSR1, handle_late);
	if (stage->moved && !move_vdso(&stage->function))
		_exit(KSFT_FAIL);
	if (!hold_back(held))
		_exit(KSFT_SKIP);
	victim_hold(victim);
	stage->result = try_unlock(&stage->function, &stage->lock.word, victim->tid, stage_pop());
	stage->done = true;
	for (;;)
		pause();
}

FIXTURE_SETUP(vdso_late_store)
{
	stage = shared_memory(sizeof(*stage));
	self->victim = victim_alloc();
	self->held = held_alloc(true);
	ASSERT_TRUE(stage && self->victim && self->held);
	REQUIRE_TRY_UNLOCK(&stage->function, NATIVE);
	stage->moved = variant->moved;
	stage->head = (void *)self->held->page;
	self->victim->registered = stage->head;
	self->victim->data = self->held;
	self->victim->run = run_late_store;
	init_head(stage->head);
	if (!victim_start(self->victim)) {
		ASSERT_EQ(KSFT_SKIP, WEXITSTATUS(self->victim->status));
		SKIP_TEST("needs userfaultfd that protects shared memory, and root");
	}
	ASSERT_TRUE(take_descriptor(self->held, self->victim->pid));
	stage->lock.word = self->victim->tid;
	stage->witness.word = self->victim->tid;
	make_pending();
}

FIXTURE_TEARDOWN(vdso_late_store)
{
	victim_clean(self->victim);
}

TEST_F_TIMEOUT(vdso_late_store, not_used, 60)
{
	__u32 tid = self->victim->tid;

	self->victim->go = 1;
	futex_wake(&self->victim->go, 1, 0);
	ASSERT_TRUE(page_asked(self->held));
	/* The word is free, and another thread has other data there now */
	ASSERT_TRUE(happens(!stage->lock.word));
	ASSERT_TRUE(is_pending());
	stage->lock.word = tid;

	if (variant->signal) {
		ASSERT_EQ(0, kill(self->victim->pid, SIGUSR1));
		usleep(50000);
		/* The frame is not built before the pointer is clear */
		EXPECT_FALSE(stage->handled);
	}
	if (variant->kill) {
		ASSERT_EQ(0, kill(self->victim->pid, SIGKILL));
		ASSERT_TRUE(happens(victim_waited(self->victim)));
		EXPECT_EQ(MARKED, stage->witness.word);
		EXPECT_EQ(tid, stage->lock.word);
		return;
	}
	ASSERT_TRUE(bring_page(self->held, 0));
	ASSERT_TRUE(happens(stage->done));
	EXPECT_EQ(tid, stage->result);
	EXPECT_FALSE(is_pending());
	EXPECT_EQ(tid, stage->lock.word);
	if (variant->signal) {
		EXPECT_TRUE(happens(stage->handled));
		EXPECT_FALSE(stage->pending_in_handler);
	}
}

/*
 * Signals at random, and no tracer: another process sends them as fast as it
 * can, while the victim takes and releases its lock.
 */
#define RANDOM_SECONDS	3

FIXTURE(vdso_signals)
{
	pid_t sender;
};

FIXTURE_VARIANT(vdso_signals)
{
	enum width width;
	bool moved;
};

FIXTURE_VARIANT_ADD(vdso_signals, native) {
};

FIXTURE_VARIANT_ADD(vdso_signals, list32) {
	.width = LIST32,
};

FIXTURE_VARIANT_ADD(vdso_signals, native_moved) {
	.moved = true,
};

static volatile unsigned long nr_handled, nr_middle;

static void look_at_middle(int number)
{
	nr_handled++;
	nr_middle += !stage->lock.word && is_pending();
}

FIXTURE_SETUP(vdso_signals)
{
	struct sigaction action = { .sa_handler = look_at_middle };
	pid_t pid = getpid();

	stage = shared_memory(sizeof(*stage));
	ASSERT_TRUE(!!stage);
	stage->width = variant->width;
	stage->head = &stage->own_head;
	REQUIRE_TRY_UNLOCK(&stage->function, variant->width);
	if (variant->moved)
		ASSERT_TRUE(move_vdso(&stage->function));
	sigaction(SIGUSR1, &action, NULL);
	self->sender = fork();
	if (!self->sender) {
		prepare_child();
		while (!kill(pid, SIGUSR1))
			sched_yield();
		_exit(0);
	}
	ASSERT_LT(0, self->sender);
}

FIXTURE_TEARDOWN(vdso_signals)
{
	if (self->sender > 0) {
		kill(self->sender, SIGKILL);
		waitpid(self->sender, NULL, 0);
	}
}

TEST_F_TIMEOUT(vdso_signals, no_middle, 60)
{
	long long end = milliseconds() + RANDOM_SECONDS * 1000;
	__u32 tid = syscall(SYS_gettid);
	unsigned long rounds = 0, wrong = 0;

	do {
		/* In this order no moment outside the function looks like the middle */
		stage->lock.word = tid;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		make_pending();
		wrong += try_unlock(&stage->function, &stage->lock.word, tid, stage_pop()) != tid;
		wrong += stage->lock.word || is_pending();
	} while (++rounds % 1000 || milliseconds() < end);
	TH_LOG("%lu signals in %lu rounds", nr_handled, rounds);
	EXPECT_EQ(0UL, wrong);
	EXPECT_LT(0UL, nr_handled);
	EXPECT_EQ(0UL, nr_middle);
}

TEST_HARNESS_MAIN
