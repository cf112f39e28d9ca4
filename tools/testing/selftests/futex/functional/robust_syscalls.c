// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * set_robust_list() and get_robust_list(): valid and invalid arguments,
 * and which thread has the list after fork, clone and exec.
 */
#include <sched.h>
#include <sys/types.h>

#include "robust.h"

#define HEAD_SIZE	sizeof(struct robust_list_head)
/* The head's size for programs of the other word size */
#define OTHER_HEAD_SIZE	(sizeof(long) == 8 ? HEAD_SIZE / 2 : HEAD_SIZE * 2)

#define UNPRIV		65534

/* The kernel does not return the addresses of these by accident */
static struct robust_list_head head, other_head;

FIXTURE(length)
{
};

FIXTURE_VARIANT(length)
{
	size_t len;
};

FIXTURE_VARIANT_ADD(length, zero) {
	.len = 0,
};

FIXTURE_VARIANT_ADD(length, one_less) {
	.len = HEAD_SIZE - 1,
};

FIXTURE_VARIANT_ADD(length, one_more) {
	.len = HEAD_SIZE + 1,
};

FIXTURE_VARIANT_ADD(length, other_head_size) {
	.len = OTHER_HEAD_SIZE,
};

FIXTURE_VARIANT_ADD(length, two_heads) {
	.len = 2 * HEAD_SIZE + 1,
};

/* An int is too short for it on a 64-bit system */
FIXTURE_VARIANT_ADD(length, high_bits_set) {
	.len = HEAD_SIZE | (size_t)1 << (sizeof(size_t) * CHAR_BIT / 2),
};

FIXTURE_VARIANT_ADD(length, huge) {
	.len = (size_t)-1,
};

FIXTURE_SETUP(length)
{
	REQUIRE_ROBUST_LIST();
}

FIXTURE_TEARDOWN(length)
{
}

/*
 * Registering returns -EINVAL unless the length is exactly the head's size: the
 * length is the version of the structure, and there is only one.
 */
TEST_F(length, einval)
{
	EXPECT_EQ(-1, set_robust_list(&head, variant->len));
	EXPECT_EQ(EINVAL, errno);
}

/*
 * A refused registration changes nothing: the list registered before is still
 * the thread's list.
 */
TEST_F(length, list_kept)
{
	uintptr_t seen = 0;
	size_t len;

	ASSERT_EQ(0, set_robust_list(&head, HEAD_SIZE));
	set_robust_list(&other_head, variant->len);
	ASSERT_EQ(0, get_robust_list(0, &seen, &len));
	EXPECT_EQ((uintptr_t)&head, seen);
}

FIXTURE(address)
{
};

FIXTURE_VARIANT(address)
{
	uintptr_t address;
};

FIXTURE_VARIANT_ADD(address, null) {
	.address = 0,
};

FIXTURE_VARIANT_ADD(address, low) {
	.address = sizeof(long),
};

FIXTURE_VARIANT_ADD(address, misaligned) {
	.address = 1,
};

FIXTURE_VARIANT_ADD(address, non_canonical) {
	.address = (uintptr_t)1 << (sizeof(long) * CHAR_BIT - 8),
};

FIXTURE_VARIANT_ADD(address, upper_half) {
	.address = ~((uintptr_t)-1 / 2),
};

FIXTURE_VARIANT_ADD(address, last_page) {
	.address = (uintptr_t)-4096,
};

FIXTURE_VARIANT_ADD(address, all_ones) {
	.address = (uintptr_t)-1,
};

FIXTURE_SETUP(address)
{
	REQUIRE_ROBUST_LIST();
}

FIXTURE_TEARDOWN(address)
{
}

/*
 * Registering stores the pointer and accesses no memory: an address that cannot
 * be read is accepted, and returned unchanged. The process of this test exits
 * while it is registered.
 */
TEST_F(address, not_validated)
{
	uintptr_t address = variant->address, seen = (uintptr_t)&head;
	size_t len;

	ASSERT_EQ(0, set_robust_list((void *)address, HEAD_SIZE));
	ASSERT_EQ(0, get_robust_list(0, &seen, &len));
	if (sizeof(long) == 4 && !highest_bit_counts())
		address &= ~HIGHEST_BIT;
	EXPECT_EQ(address, seen);
}

/* In a query, pid 0 is the caller. */
TEST(pid_0)
{
	uintptr_t seen = 0;
	size_t len;

	REQUIRE_ROBUST_LIST();

	ASSERT_EQ(0, set_robust_list(&head, HEAD_SIZE));
	ASSERT_EQ(0, get_robust_list(0, &seen, &len));
	EXPECT_EQ((uintptr_t)&head, seen);
}

/* The caller may also pass its own TID. */
TEST(own_tid)
{
	uintptr_t seen = 0;
	size_t len;

	REQUIRE_ROBUST_LIST();

	ASSERT_EQ(0, set_robust_list(&head, HEAD_SIZE));
	ASSERT_EQ(0, get_robust_list(syscall(SYS_gettid), &seen, &len));
	EXPECT_EQ((uintptr_t)&head, seen);
}

/*
 * Querying stores the size of the head as a size_t: none of its bytes keeps its
 * old value.
 */
TEST(length_is_head_size)
{
	size_t len = (size_t)-1;
	uintptr_t seen;

	REQUIRE_ROBUST_LIST();

	ASSERT_EQ(0, get_robust_list(0, &seen, &len));
	EXPECT_EQ(HEAD_SIZE, len);
}

/* The last registration counts. */
TEST(register_again)
{
	uintptr_t seen = 0;
	size_t len;

	REQUIRE_ROBUST_LIST();

	ASSERT_EQ(0, set_robust_list(&head, HEAD_SIZE));
	ASSERT_EQ(0, set_robust_list(&other_head, HEAD_SIZE));
	ASSERT_EQ(0, get_robust_list(0, &seen, &len));
	EXPECT_EQ((uintptr_t)&other_head, seen);
}

struct helper {
	futex_t tid;
	futex_t done;
};

static void *register_other_head(void *arg)
{
	struct helper *helper = arg;

	if (!set_robust_list(&other_head, HEAD_SIZE))
		helper->tid = syscall(SYS_gettid);
	happens(helper->done);
	return NULL;
}

FIXTURE(thread)
{
	struct helper helper;
	pthread_t thread;
};

FIXTURE_SETUP(thread)
{
	REQUIRE_ROBUST_LIST();

	ASSERT_EQ(0, set_robust_list(&head, HEAD_SIZE));
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, register_other_head,
				    &self->helper));
	ASSERT_TRUE(happens(self->helper.tid));
}

FIXTURE_TEARDOWN(thread)
{
	self->helper.done = 1;
	pthread_join(self->thread, NULL);
}

/* The list of another thread can be queried by its TID. */
TEST_F(thread, get)
{
	uintptr_t seen = 0;
	size_t len;

	ASSERT_EQ(0, get_robust_list(self->helper.tid, &seen, &len));
	EXPECT_EQ((uintptr_t)&other_head, seen);
}

/* Each thread has its own list: another thread registers without changing it. */
TEST_F(thread, other_list_unchanged)
{
	uintptr_t seen = 0;
	size_t len;

	ASSERT_EQ(0, get_robust_list(0, &seen, &len));
	EXPECT_EQ((uintptr_t)&head, seen);
}

FIXTURE(process)
{
	struct victim *victim;
};

FIXTURE_SETUP(process)
{
	REQUIRE_ROBUST_LIST();

	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);
}

FIXTURE_TEARDOWN(process)
{
	victim_clean(self->victim);
}

/* The list of another process can be queried by its PID. */
TEST_F(process, get)
{
	uintptr_t seen = 0;
	size_t len;

	ASSERT_TRUE(victim_start(self->victim));
	ASSERT_EQ(0, get_robust_list(self->victim->pid, &seen, &len));
	EXPECT_EQ((uintptr_t)&self->victim->head, seen);
}

/* Querying returns -ESRCH where there is no such thread (any more). */
TEST_F(process, exited_esrch)
{
	uintptr_t seen;
	size_t len;
	pid_t pid;

	ASSERT_TRUE(victim_start(self->victim));
	pid = self->victim->pid;
	ASSERT_TRUE(victim_die(self->victim));
	EXPECT_EQ(-1, get_robust_list(pid, &seen, &len));
	EXPECT_EQ(ESRCH, errno);
}

/* A negative number is no PID, and not a process group either. */
TEST(negative_pid_esrch)
{
	uintptr_t seen;
	size_t len;

	REQUIRE_ROBUST_LIST();

	EXPECT_EQ(-1, get_robust_list(-1, &seen, &len));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_EQ(-1, get_robust_list(-getpid(), &seen, &len));
	EXPECT_EQ(ESRCH, errno);
}

/* Nothing is stored if there is no such thread. */
TEST(esrch_writes_nothing)
{
	uintptr_t seen = (uintptr_t)&head;
	size_t len = 1;

	REQUIRE_ROBUST_LIST();

	EXPECT_EQ(-1, get_robust_list(-1, &seen, &len));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_EQ((uintptr_t)&head, seen);
	EXPECT_EQ(1U, len);
}

/*
 * Querying returns -EPERM to callers that could not read the process's memory
 * with ptrace: here one user asks for the list of another.
 */
TEST_F(process, other_user_eperm)
{
	uintptr_t seen;
	size_t len;

	if (geteuid())
		SKIP(return, "needs root");

	ASSERT_TRUE(victim_start(self->victim));
	ASSERT_EQ(0, setresuid(UNPRIV, UNPRIV, 0));
	EXPECT_EQ(-1, get_robust_list(self->victim->pid, &seen, &len));
	EXPECT_EQ(EPERM, errno);
	ASSERT_EQ(0, setresuid(0, 0, 0));
}

/* A refusal stores nothing. */
TEST_F(process, eperm_writes_nothing)
{
	uintptr_t seen = (uintptr_t)&other_head;
	size_t len = 1;

	if (geteuid())
		SKIP(return, "needs root");

	ASSERT_TRUE(victim_start(self->victim));
	ASSERT_EQ(0, setresuid(UNPRIV, UNPRIV, 0));
	EXPECT_EQ(-1, get_robust_list(self->victim->pid, &seen, &len));
	ASSERT_EQ(0, setresuid(0, 0, 0));
	EXPECT_EQ((uintptr_t)&other_head, seen);
	EXPECT_EQ(1U, len);
}

/*
 * The real user ID is checked, not the effective one: root may query a process
 * of root while it has another effective user ID.
 */
TEST_F(process, real_credentials)
{
	uintptr_t seen = 0;
	size_t len;

	if (geteuid())
		SKIP(return, "needs root");

	ASSERT_TRUE(victim_start(self->victim));
	ASSERT_EQ(0, setresuid(0, UNPRIV, 0));
	EXPECT_EQ(0, get_robust_list(self->victim->pid, &seen, &len));
	ASSERT_EQ(0, setresuid(0, 0, 0));
	EXPECT_EQ((uintptr_t)&self->victim->head, seen);
}

FIXTURE(result)
{
	size_t *bad;
};

FIXTURE_VARIANT(result)
{
	int protection;
};

FIXTURE_VARIANT_ADD(result, in_unreadable_memory) {
	.protection = PROT_NONE,
};

FIXTURE_VARIANT_ADD(result, in_read_only_memory) {
	.protection = PROT_READ,
};

FIXTURE_SETUP(result)
{
	REQUIRE_ROBUST_LIST();

	self->bad = mmap(NULL, sysconf(_SC_PAGESIZE), variant->protection,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_TRUE(self->bad != MAP_FAILED);
}

FIXTURE_TEARDOWN(result)
{
}

/* Querying returns -EFAULT if the head's address cannot be stored. */
TEST_F(result, head_efault)
{
	size_t len;

	EXPECT_EQ(-1, get_robust_list(0, self->bad, &len));
	EXPECT_EQ(EFAULT, errno);
}

/* Querying returns -EFAULT if the length cannot be stored. */
TEST_F(result, len_efault)
{
	uintptr_t seen;

	EXPECT_EQ(-1, get_robust_list(0, &seen, self->bad));
	EXPECT_EQ(EFAULT, errno);
}

/* What a new task queries of itself before any C library code has run in it */
struct newborn {
	uintptr_t seen;
	size_t len;
	int ret;
	pid_t tid;
	futex_t done;
};

static int look_at_own_list(void *arg)
{
	struct newborn *newborn = arg;

	newborn->ret = get_robust_list(0, &newborn->seen, &newborn->len);
	newborn->done = 1;
	return 0;
}

FIXTURE(newborn)
{
	struct newborn *newborn;
};

FIXTURE_VARIANT(newborn)
{
	int flags;
};

FIXTURE_VARIANT_ADD(newborn, fork) {
	.flags = SIGCHLD,
};

FIXTURE_VARIANT_ADD(newborn, vfork) {
	.flags = SIGCHLD | CLONE_VM | CLONE_VFORK,
};

FIXTURE_VARIANT_ADD(newborn, clone_vm) {
	.flags = SIGCHLD | CLONE_VM,
};

FIXTURE_VARIANT_ADD(newborn, thread) {
	.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
		 CLONE_THREAD | CLONE_SYSVSEM,
};

FIXTURE_SETUP(newborn)
{
	size_t size = 64 * 1024;
	char *stack = shared_memory(size);

	REQUIRE_ROBUST_LIST();

	self->newborn = shared_memory(sizeof(*self->newborn));
	ASSERT_TRUE(!!self->newborn);
	ASSERT_TRUE(!!stack);
	ASSERT_EQ(0, set_robust_list(&head, HEAD_SIZE));

#ifndef __hppa__
	/* Everywhere else it grows downwards */
	stack += size;
#endif
	self->newborn->seen = (uintptr_t)&head;
	self->newborn->tid = clone(look_at_own_list, stack, variant->flags,
				   self->newborn);
	if (self->newborn->tid < 0 && errno == EINVAL)
		return;
	ASSERT_LT(0, self->newborn->tid);
	ASSERT_TRUE(happens(self->newborn->done));
}

FIXTURE_TEARDOWN(newborn)
{
	if (!(variant->flags & CLONE_THREAD))
		happens(waitpid(self->newborn->tid, NULL, WNOHANG));
}

/*
 * In whatever way a task is created, it starts without a list: the locks of its
 * creator are not its own. The C library has had no chance to register one yet.
 */
TEST_F(newborn, no_list)
{
	if (self->newborn->tid < 0)
		SKIP(return, "the C library's clone() makes no threads");

	ASSERT_EQ(0, self->newborn->ret);
	EXPECT_EQ(0U, self->newborn->seen);
}

/* The creation of a task does not change its creator's list. */
TEST_F(newborn, parent_list_kept)
{
	uintptr_t seen = 0;
	size_t len;

	if (self->newborn->tid < 0)
		SKIP(return, "the C library's clone() makes no threads");

	ASSERT_EQ(0, get_robust_list(0, &seen, &len));
	EXPECT_EQ((uintptr_t)&head, seen);
}

static void run_exec(struct victim *victim)
{
	victim_hold(victim);
	victim_exec();
}

/*
 * exec clears the list, as its memory is gone. The list of the new program is
 * queried before its first instruction, and so before its C library registers
 * another one.
 */
TEST_F(process, exec_clears_list)
{
	uintptr_t seen = (uintptr_t)&head;
	size_t len;

	self->victim->run = run_exec;
	ASSERT_TRUE(victim_start(self->victim));
	ASSERT_TRUE(victim_die(self->victim));
	ASSERT_TRUE(WIFSTOPPED(self->victim->status));
	ASSERT_EQ(0, get_robust_list(self->victim->pid, &seen, &len));
	EXPECT_EQ(0U, seen);
}

/* An exec that fails leaves the list registered: the old program goes on. */
TEST(failed_exec_keeps_list)
{
	uintptr_t seen = 0;
	size_t len;

	REQUIRE_ROBUST_LIST();

	ASSERT_EQ(0, set_robust_list(&head, HEAD_SIZE));
	ASSERT_EQ(-1, execl("/", "/", NULL));
	ASSERT_EQ(0, get_robust_list(0, &seen, &len));
	EXPECT_EQ((uintptr_t)&head, seen);
}

TEST_HARNESS_MAIN
