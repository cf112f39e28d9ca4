// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The permission check of get_robust_list(): other users, programs that run
 * with the credentials of another user, programs that exec one another during
 * the call, and callers of the other word size.
 *
 * A pointer to a list discloses where a program keeps its memory. The call
 * requires the right to read that memory by ptrace.
 */
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "robust.h"

#define HEAD_SIZE	sizeof(struct robust_list_head)
/* A user without rights, and a group */
#define UNPRIV		65534

/*
 * What the programs here register. Nothing is ever mapped so low: the C library
 * has no list there, and the kernel finds none at exit.
 */
#define PLAIN_LIST	((uintptr_t)0x100)
#define SETUID_LIST	((uintptr_t)0x200)

/* What get_robust_list() must not touch when it fails */
#define UNTOUCHED	((uintptr_t)0x300)

/*
 * The programs are this one. Its environment says which of them it is. They share
 * the board with the test, by an open file.
 */
#define ROLE		"ROBUST_ROLE"
#define BOARD_FD	100
#define NR_READERS	2
#define NR_LOGGED	8192

/* Pointers, in the order in which they were seen */
struct log {
	unsigned int nr;
	uintptr_t pointers[NR_LOGGED];
};

struct reader {
	/* How often each answer came */
	unsigned long plain;
	unsigned long null;
	unsigned long eperm;
	unsigned long esrch;
	unsigned long setuid;
	unsigned long other_errors;
	/* Pointers other than PLAIN_LIST and SETUID_LIST */
	struct log others;
};

struct board {
	char plain_path[PATH_MAX];
	char setuid_path[PATH_MAX];
	/* Let a thread exec that is not the leader */
	bool by_thread;
	/* Let the program drop the rights that it got by its file's mode */
	bool drop;
	futex_t stop;
	/* A setuid exec clears the signal that a parent's death would send */
	long long deadline;
	/* The IDs that the program runs with; it is ready once tid is set */
	uid_t euid;
	gid_t egid;
	futex_t tid;
	futex_t thread_tid;
	/* A setuid program found itself without another user's rights */
	bool powerless;
	/* How often the setuid program was started */
	unsigned int execs;
	/* The lists of the C library, which registers one before main() */
	struct log plain_libc;
	struct log setuid_libc;
	struct reader readers[NR_READERS];
};

static bool over(struct board *board)
{
	return board->stop || milliseconds() > board->deadline;
}

static void log_pointer(struct log *log, uintptr_t pointer)
{
	unsigned int last = log->nr ? log->nr - 1 : 0;

	/* Readers see the same one many times in a row */
	if (log->nr && log->pointers[last % NR_LOGGED] == pointer)
		return;
	log->pointers[log->nr % NR_LOGGED] = pointer;
	log->nr++;
}

static bool logged(struct log *log, uintptr_t pointer)
{
	unsigned int i, nr = log->nr < NR_LOGGED ? log->nr : NR_LOGGED;

	for (i = 0; i < nr; i++)
		if (log->pointers[i] == pointer)
			return true;
	return false;
}

static void register_list(struct log *libc, uintptr_t list)
{
	uintptr_t seen = 0;
	size_t len;

	if (!get_robust_list(0, &seen, &len) && seen)
		log_pointer(libc, seen);
	if (set_robust_list((void *)list, HEAD_SIZE))
		_exit(KSFT_FAIL);
}

static void exec_program(const char *path, const char *role)
{
	char *const arguments[] = { (char *)path, NULL };
	char *const environment[] = { (char *)role, NULL };

	execve(path, arguments, environment);
	_exit(KSFT_FAIL);
}

static void *exec_setuid(void *arg)
{
	struct board *board = arg;

	if (set_robust_list((void *)PLAIN_LIST, HEAD_SIZE))
		_exit(KSFT_FAIL);
	/* Gives the readers time to query this program */
	usleep(100);
	exec_program(board->setuid_path, ROLE "=setuid");
	return NULL;
}

/* One half of the loop of programs: it runs without any rights */
static void be_plain(struct board *board)
{
	pthread_t thread;

	register_list(&board->plain_libc, PLAIN_LIST);
	board->tid = syscall(SYS_gettid);
	if (over(board))
		_exit(0);
	if (!board->by_thread)
		exec_setuid(board);
	if (pthread_create(&thread, NULL, exec_setuid, board))
		_exit(KSFT_FAIL);
	for (;;)
		pause();
}

/* The other half runs as root. It clears its list before it drops the rights */
static void be_setuid(struct board *board)
{
	register_list(&board->setuid_libc, SETUID_LIST);
	board->execs++;
	board->powerless = geteuid();
	if (over(board) || board->powerless)
		_exit(0);
	usleep(100);
	if (set_robust_list(NULL, HEAD_SIZE) ||
	    setresuid(UNPRIV, UNPRIV, UNPRIV))
		_exit(KSFT_FAIL);
	exec_program(board->plain_path, ROLE "=plain");
}

static void *sleep_with_list(void *arg)
{
	struct board *board = arg;

	if (set_robust_list((void *)SETUID_LIST, HEAD_SIZE))
		_exit(KSFT_FAIL);
	board->thread_tid = syscall(SYS_gettid);
	for (;;)
		pause();
}

/* A program that does not exec another one, and has a second thread */
static void be_asleep(struct board *board)
{
	pthread_t thread;

	board->euid = geteuid();
	board->egid = getegid();
	if (board->drop && (setresgid(UNPRIV, UNPRIV, UNPRIV) ||
			    setresuid(UNPRIV, UNPRIV, UNPRIV)))
		_exit(KSFT_FAIL);
	if (set_robust_list((void *)SETUID_LIST, HEAD_SIZE) ||
	    pthread_create(&thread, NULL, sleep_with_list, board) ||
	    !happens(board->thread_tid))
		_exit(KSFT_FAIL);
	board->tid = syscall(SYS_gettid);
	while (!over(board))
		usleep(1000);
	_exit(0);
}

static void __attribute__((constructor)) become_program(void)
{
	const char *role = getenv(ROLE);
	struct board *board;

	if (!role)
		return;

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED,
		     BOARD_FD, 0);
	if (board == MAP_FAILED)
		_exit(KSFT_FAIL);
	if (!strcmp(role, "plain"))
		be_plain(board);
	else if (!strcmp(role, "setuid"))
		be_setuid(board);
	else
		be_asleep(board);
	_exit(KSFT_FAIL);
}

static struct board *board_alloc(void)
{
	int fd = memfd_create("robust", 0);
	struct board *board;

	if (fd < 0 || ftruncate(fd, sizeof(*board)) ||
	    dup2(fd, BOARD_FD) != BOARD_FD)
		return NULL;
	close(fd);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED,
		     BOARD_FD, 0);
	if (board == MAP_FAILED)
		return NULL;
	board->deadline = milliseconds() + 2 * TIME_LIMIT * 1000LL;
	return board;
}

/* Copy this program to @path, a file of root's; false if it fails */
static bool copy_program(const char *path, mode_t mode)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	static char buffer[65536];
	ssize_t got = -1;

	if (from >= 0 && to >= 0)
		while ((got = read(from, buffer, sizeof(buffer))) > 0)
			if (write(to, buffer, got) != got)
				return false;
	close(from);
	/* Regardless of the umask. A file open for writing cannot be executed */
	return !got && !fchmod(to, mode) && !close(to);
}

/* A process of the user UNPRIV. Its exec makes it dumpable again */
static pid_t start_program(const char *path, const char *role)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	if (setgroups(0, NULL) || setresgid(UNPRIV, UNPRIV, UNPRIV) ||
	    setresuid(UNPRIV, UNPRIV, UNPRIV))
		_exit(KSFT_FAIL);
	exec_program(path, role);
	return -1;
}

static void end_program(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	happens(waitpid(pid, NULL, WNOHANG) == pid);
}

/*
 * Query as another user, with other real and effective IDs: no capability is
 * effective meanwhile. Returns 0 or the error number.
 */
static int ask_as(uid_t uid, gid_t gid, pid_t pid, uintptr_t *seen, size_t *len)
{
	int ret, err = 0;

	if (setresgid(gid, gid, 0) || setresuid(uid, uid, 0))
		return -1;
	ret = get_robust_list(pid, seen, len);
	if (ret)
		err = errno;
	if (setresuid(0, 0, 0) || setresgid(0, 0, 0))
		return -1;
	return err;
}

static int ask(pid_t pid, uintptr_t *seen, size_t *len)
{
	return get_robust_list(pid, seen, len) ? errno : 0;
}

/* What a user may query of a program that was started by that user */
FIXTURE(program)
{
	struct board *board;
	pid_t pid;
	char directory[32];
};

FIXTURE_VARIANT(program)
{
	mode_t mode;
	bool drop;
	bool granted;
};

/* The control: nothing is special about this one */
FIXTURE_VARIANT_ADD(program, plain) {
	.mode = 0755,
	.granted = true,
};

FIXTURE_VARIANT_ADD(program, setuid) {
	.mode = S_ISUID | 0755,
};

FIXTURE_VARIANT_ADD(program, setgid) {
	.mode = S_ISGID | 0755,
};

/* Its memory may still hold what it read with the rights that it has dropped */
FIXTURE_VARIANT_ADD(program, setuid_dropped) {
	.mode = S_ISUID | S_ISGID | 0755,
	.drop = true,
};

/* A program with text that its user must not read */
FIXTURE_VARIANT_ADD(program, execute_only) {
	.mode = 0711,
};

/* Whether setuid programs, too, are dumpable for the user that started them */
static bool all_are_dumpable(void)
{
	FILE *file = fopen("/proc/sys/fs/suid_dumpable", "r");
	int value = 0;

	if (file) {
		if (fscanf(file, "%d", &value) != 1)
			value = 0;
		fclose(file);
	}
	return value == 1;
}

static bool mount_is_nosuid(const char *path)
{
	struct statvfs info;

	return !statvfs(path, &info) && info.f_flag & (ST_NOSUID | ST_NOEXEC);
}

static void remove_directory(struct board *board, const char *directory)
{
	if (board) {
		unlink(board->plain_path);
		unlink(board->setuid_path);
	}
	rmdir(directory);
}

/* For the two fixtures that need setuid programs */
#define REQUIRE_SETUID_PROGRAMS()					\
do {									\
	if (geteuid())							\
		SKIP_TEST("needs root");				\
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) ||			\
	    mount_is_nosuid("/tmp"))					\
		SKIP_TEST("needs programs that are setuid in /tmp");	\
	if (all_are_dumpable())						\
		SKIP_TEST("needs fs.suid_dumpable other than 1");	\
} while (0)

FIXTURE_SETUP(program)
{
	REQUIRE_ROBUST_LIST();
	REQUIRE_SETUID_PROGRAMS();

	self->board = board_alloc();
	ASSERT_TRUE(!!self->board);
	strcpy(self->directory, "/tmp/robust.XXXXXX");
	ASSERT_TRUE(!!mkdtemp(self->directory));
	ASSERT_EQ(0, chmod(self->directory, 0755));
	snprintf(self->board->setuid_path, PATH_MAX, "%s/program",
		 self->directory);
	ASSERT_TRUE(copy_program(self->board->setuid_path, variant->mode));

	self->board->drop = variant->drop;
	self->pid = start_program(self->board->setuid_path, ROLE "=asleep");
	EXPECT_LT(0, self->pid);
	EXPECT_TRUE(happens(self->board->tid));
	remove_directory(self->board, self->directory);
	EXPECT_EQ(variant->mode & S_ISUID ? 0 : UNPRIV, self->board->euid);
	EXPECT_EQ(variant->mode & S_ISGID ? 0 : UNPRIV, self->board->egid);
}

FIXTURE_TEARDOWN(program)
{
	end_program(self->pid);
}

/*
 * Querying returns -EPERM to the user that started a program which runs with
 * the rights of another, or which may not be read, and stores nothing then. The
 * plain program, which the user may read, shows that not every query is refused.
 */
TEST_F(program, user_access)
{
	uintptr_t seen = UNTOUCHED;
	size_t len = 1;

	EXPECT_EQ(variant->granted ? 0 : EPERM,
		  ask_as(UNPRIV, UNPRIV, self->board->tid, &seen, &len));
	EXPECT_EQ(variant->granted ? SETUID_LIST : UNTOUCHED, seen);
	EXPECT_EQ(variant->granted ? HEAD_SIZE : 1, len);
}

/* The same holds for its other threads. */
TEST_F(program, threads_same_access)
{
	uintptr_t seen = UNTOUCHED;
	size_t len = 1;

	EXPECT_EQ(variant->granted ? 0 : EPERM,
		  ask_as(UNPRIV, UNPRIV, self->board->thread_tid, &seen, &len));
	EXPECT_EQ(variant->granted ? SETUID_LIST : UNTOUCHED, seen);
	EXPECT_EQ(variant->granted ? HEAD_SIZE : 1, len);
}

/* Root may read any program's memory, and so also query where its list is. */
TEST_F(program, root_access)
{
	uintptr_t seen = UNTOUCHED;
	size_t len = 1;

	EXPECT_EQ(0, ask(self->board->tid, &seen, &len));
	EXPECT_EQ(SETUID_LIST, seen);
	EXPECT_EQ(HEAD_SIZE, len);
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

/* A process stops being dumpable when it changes its user */
static void run_unprivileged(struct victim *victim, int dumpable)
{
	if (setgroups(0, NULL) || setresgid(UNPRIV, UNPRIV, UNPRIV) ||
	    setresuid(UNPRIV, UNPRIV, UNPRIV) ||
	    prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0))
		_exit(KSFT_FAIL);
	victim_hold(victim);
}

static void run_dumpable(struct victim *victim)
{
	run_unprivileged(victim, 1);
}

static void run_undumpable(struct victim *victim)
{
	run_unprivileged(victim, 0);
}

/*
 * The user alone is not enough: the group has to be the same one too, as for
 * everything that ptrace allows.
 */
TEST_F(process, other_group_eperm)
{
	uintptr_t seen = UNTOUCHED;
	size_t len = 1;

	if (geteuid())
		SKIP(return, "needs root");

	self->victim->run = run_dumpable;
	ASSERT_TRUE(victim_start(self->victim));
	EXPECT_EQ(EPERM, ask_as(UNPRIV, UNPRIV - 1, self->victim->tid, &seen,
				&len));
	EXPECT_EQ(UNTOUCHED, seen);
	EXPECT_EQ(0, ask_as(UNPRIV, UNPRIV, self->victim->tid, &seen, &len));
	EXPECT_EQ((uintptr_t)&self->victim->head, seen);
}

/* A process that is not dumpable keeps its list from its own user. */
TEST_F(process, not_dumpable_eperm)
{
	uintptr_t seen = UNTOUCHED;
	size_t len = 1;

	if (geteuid())
		SKIP(return, "needs root");

	self->victim->run = run_undumpable;
	ASSERT_TRUE(victim_start(self->victim));
	EXPECT_EQ(EPERM, ask_as(UNPRIV, UNPRIV, self->victim->tid, &seen, &len));
	EXPECT_EQ(UNTOUCHED, seen);
	EXPECT_EQ(1U, len);
}

static void *hold_as_thread(void *arg)
{
	victim_hold(arg);
	return NULL;
}

/* A thread may query other threads of its own process, dumpable or not. */
TEST_F(process, not_dumpable_own_threads)
{
	struct victim *victim = self->victim;
	uintptr_t seen = UNTOUCHED;
	pthread_t thread;
	size_t len = 1;

	ASSERT_EQ(0, prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
	ASSERT_EQ(0, pthread_create(&thread, NULL, hold_as_thread, victim));
	ASSERT_TRUE(happens(victim->tid));
	EXPECT_EQ(0, geteuid() ? ask(victim->tid, &seen, &len) :
			 ask_as(UNPRIV, UNPRIV, victim->tid, &seen, &len));
	EXPECT_EQ((uintptr_t)&victim->head, seen);
	victim_die(victim);
}

/*
 * One process that turns from a program without rights into a setuid program
 * and back, as fast as it can, and readers that may see the one and not the
 * other.
 */
FIXTURE(exec)
{
	struct board *board;
	pid_t pid;
	pid_t readers[NR_READERS];
	char directory[32];
};

FIXTURE_VARIANT(exec)
{
	bool by_thread;
};

FIXTURE_VARIANT_ADD(exec, by_leader) {
};

/* The thread takes over the TID of the leader, which the readers query */
FIXTURE_VARIANT_ADD(exec, by_thread) {
	.by_thread = true,
};

static void read_all_the_time(struct board *board, struct reader *reader)
{
	uintptr_t seen;
	size_t len;

	if (setgroups(0, NULL) || setresgid(UNPRIV, UNPRIV, UNPRIV) ||
	    setresuid(UNPRIV, UNPRIV, UNPRIV))
		_exit(KSFT_FAIL);

	while (!over(board)) {
		switch (ask(board->tid, &seen, &len)) {
		case 0:
			if (seen == PLAIN_LIST)
				reader->plain++;
			else if (seen == SETUID_LIST)
				reader->setuid++;
			else if (!seen)
				reader->null++;
			else
				log_pointer(&reader->others, seen);
			break;
		case EPERM:
			reader->eperm++;
			break;
		case ESRCH:
			reader->esrch++;
			break;
		default:
			reader->other_errors++;
		}
	}
	_exit(0);
}

FIXTURE_SETUP(exec)
{
	struct board *board;
	int i;

	REQUIRE_ROBUST_LIST();
	REQUIRE_SETUID_PROGRAMS();

	self->board = board_alloc();
	ASSERT_TRUE(!!self->board);
	board = self->board;
	strcpy(self->directory, "/tmp/robust.XXXXXX");
	ASSERT_TRUE(!!mkdtemp(self->directory));
	ASSERT_EQ(0, chmod(self->directory, 0755));
	snprintf(board->plain_path, PATH_MAX, "%s/plain", self->directory);
	snprintf(board->setuid_path, PATH_MAX, "%s/setuid", self->directory);
	EXPECT_TRUE(copy_program(board->plain_path, 0755));
	EXPECT_TRUE(copy_program(board->setuid_path, S_ISUID | 0755));

	board->by_thread = variant->by_thread;
	self->pid = start_program(board->plain_path, ROLE "=plain");
	EXPECT_LT(0, self->pid);
	EXPECT_TRUE(happens(board->tid));
	for (i = 0; i < NR_READERS; i++) {
		self->readers[i] = fork();
		if (!self->readers[i]) {
			prepare_child();
			read_all_the_time(board, &board->readers[i]);
		}
		EXPECT_LT(0, self->readers[i]);
	}
}

FIXTURE_TEARDOWN(exec)
{
	int i;

	self->board->stop = 1;
	for (i = 0; i < NR_READERS; i++)
		end_program(self->readers[i]);
	end_program(self->pid);
	remove_directory(self->board, self->directory);
}

/* How often each of the answers has to be seen before the test proves anything */
#define ENOUGH		100
/* And how many times the process has to have gone through both programs */
#define ENOUGH_EXECS	5

static bool seen_enough(struct reader *reader)
{
	return reader->plain >= ENOUGH && reader->eperm >= ENOUGH;
}

/*
 * A query never returns a pointer of a program that replaced the one that was
 * checked. So the readers get the list of the plain program, none at
 * all, or a refusal, and never the list that the setuid program registers, nor
 * the one that the C library registers in it. Both the list of the one and the
 * refusal of the other must have been seen often.
 */
TEST_F_TIMEOUT(exec, no_leak_across_exec, 60)
{
	struct board *board = self->board;
	long long end = milliseconds() + 2000;
	struct reader *reader;
	unsigned int i, j, leaks = 0;
	uintptr_t pointer;

	EXPECT_TRUE(happens(milliseconds() >= end &&
			    seen_enough(&board->readers[0]) &&
			    seen_enough(&board->readers[1]) &&
			    board->execs >= ENOUGH_EXECS));
	board->stop = 1;
	for (i = 0; i < NR_READERS; i++) {
		int status = -1;

		ASSERT_TRUE(happens(waitpid(self->readers[i], &status, WNOHANG) ==
				    self->readers[i]));
		self->readers[i] = 0;
		EXPECT_EQ(0, status);
	}
	ASSERT_FALSE(board->powerless);

	for (i = 0; i < NR_READERS; i++) {
		reader = &board->readers[i];
		TH_LOG("reader %u, %u execs: plain %lu, none %lu, EPERM %lu, ESRCH %lu",
		       i, board->execs, reader->plain, reader->null,
		       reader->eperm, reader->esrch);
		EXPECT_EQ(0U, reader->setuid);
		EXPECT_EQ(0U, reader->other_errors);

		/*
		 * An address that the C library had in both programs shows
		 * nothing. Of those that only the setuid one had, none may have
		 * been seen.
		 */
		for (j = 0; j < reader->others.nr && j < NR_LOGGED; j++) {
			pointer = reader->others.pointers[j];
			leaks += logged(&board->setuid_libc, pointer) &&
				 !logged(&board->plain_libc, pointer);
		}
	}
	EXPECT_EQ(0U, leaks);
}

/*
 * Callers of both word sizes. On x86, 64-bit programs can make the system calls
 * of 32-bit ones, and the other way round. For the kernel it is the call that
 * counts. In names, "native" stands for the 64-bit call and "compat" for the 32-bit
 * one, as in the kernel, whichever of them is that of the program.
 */
#define NATIVE_HEAD_SIZE		24
#define COMPAT_HEAD_SIZE	12

/* Nothing is mapped there. Half of the 64-bit one is not the 32-bit one */
#define NATIVE_LIST	0x600000001000ULL
#define COMPAT_LIST	0x400U

/* Both return what the kernel does: 0 or a negative error number */
#if defined(__x86_64__) && defined(__LP64__)
#define SET_NATIVE	SYS_set_robust_list
#define GET_NATIVE	SYS_get_robust_list
#define SET_COMPAT	311
#define GET_COMPAT	312

static int call_native(int number, __u64 a, __u64 b, __u64 c)
{
	return syscall(number, a, b, c) ? -errno : 0;
}

static int call_compat(int number, uintptr_t a, uintptr_t b, uintptr_t c)
{
	long ret;

	/* The 32-bit entry leaves r8 to r11 undefined */
	asm volatile("int $0x80"
		     : "=a" (ret)
		     : "a" (number), "b" (a), "c" (b), "d" (c)
		     : "r8", "r9", "r10", "r11", "memory");
	return ret;
}
#elif defined(__i386__)
#define SET_NATIVE	273
#define GET_NATIVE	274
#define SET_COMPAT	SYS_set_robust_list
#define GET_COMPAT	SYS_get_robust_list

/* The code segment of 64-bit programs. A 32-bit kernel has none there */
#define NATIVE_SEGMENT	0x33

/* A far pointer, as the processor reads it */
struct far {
	void (*offset)(void);
	__u32 segment;
};

/* A call, and the far pointers there and back. The code below has the offsets */
struct native_call {
	__u64 number;
	__u64 a;
	__u64 b;
	__u64 c;
	struct far enter;
	struct far leave;
};

/* In all three, %ebx points to the call. This part is 32-bit code */
static void __attribute__((naked)) native_enter(void)
{
	asm volatile("ljmp *32(%ebx)");
}

/*
 * This is 64-bit code. The upper halves of the registers are not to be relied
 * on after the change.
 */
static void __attribute__((naked)) native_do(void)
{
	asm volatile(".code64\n\t"
		     "mov %ebx, %ebx\n\t"
		     "mov %esp, %esp\n\t"
		     "mov (%rbx), %rax\n\t"
		     "mov 8(%rbx), %rdi\n\t"
		     "mov 16(%rbx), %rsi\n\t"
		     "mov 24(%rbx), %rdx\n\t"
		     "syscall\n\t"
		     "mov %rax, (%rbx)\n\t"
		     "ljmpl *40(%rbx)\n\t"
		     ".code32");
}

static void __attribute__((naked)) native_leave(void)
{
	asm volatile("ret");
}

static int call_native(int number, __u64 a, __u64 b, __u64 c)
{
	struct native_call call = {
		.number = number,
		.a = a,
		.b = b,
		.c = c,
		.enter = { native_do, NATIVE_SEGMENT },
		.leave = { native_leave },
	};
	void (*enter)(void) = native_enter;

	asm volatile("mov %%cs, %0" : "=r" (call.leave.segment));
	asm volatile("call *%0"
		     : "+a" (enter)
		     : "b" (&call)
		     : "ecx", "edx", "esi", "edi", "memory");
	return call.number;
}

static int call_compat(int number, uintptr_t a, uintptr_t b, uintptr_t c)
{
	return syscall(number, a, b, c) ? -errno : 0;
}
#else
#define SET_NATIVE	0
#define GET_NATIVE	0
#define SET_COMPAT	0
#define GET_COMPAT	0

static int call_native(int number, __u64 a, __u64 b, __u64 c)
{
	return -EOPNOTSUPP;
}

static int call_compat(int number, uintptr_t a, uintptr_t b, uintptr_t c)
{
	return -EOPNOTSUPP;
}
#endif

#ifndef MAP_32BIT
#define MAP_32BIT	0
#endif

/* What the calls store, and what surrounds that, where both can reach it */
struct answer {
	__u64 native_before;
	__u64 native_list;
	__u64 native_between;
	__u64 native_len;
	__u64 native_after;
	__u32 compat_before;
	__u32 compat_list;
	__u32 compat_between;
	__u32 compat_len;
	__u32 compat_after;
};

#define UNTOUCHED_NATIVE		(~0ULL)
#define UNTOUCHED_COMPAT	(~0U)

/* Return 0 or the error number */
static int ask_native(struct answer *answer, pid_t pid)
{
	memset(answer, 0xff, sizeof(*answer));
	return -call_native(GET_NATIVE, pid, (uintptr_t)&answer->native_list,
			    (uintptr_t)&answer->native_len);
}

static int ask_compat(struct answer *answer, pid_t pid)
{
	memset(answer, 0xff, sizeof(*answer));
	return -call_compat(GET_COMPAT, pid, (uintptr_t)&answer->compat_list,
			    (uintptr_t)&answer->compat_len);
}

static int set_native(__u64 list)
{
	return -call_native(SET_NATIVE, list, NATIVE_HEAD_SIZE, 0);
}

static int set_compat(__u32 list)
{
	return -call_compat(SET_COMPAT, list, COMPAT_HEAD_SIZE, 0);
}

/* Dies by SIGSEGV if the kernel does not have both kinds of calls */
static void try_both(struct victim *victim)
{
	_exit(set_native(0) || set_compat(0));
}

/* MAP_32BIT is for 64-bit programs. Others have all of their memory there */
static struct answer *alloc_answer(void)
{
	struct victim victim = { .run = try_both, .status = -1 };
	struct answer *answer;

	/* It exits without a TID stored */
	victim_start(&victim);
	if (victim.status)
		return NULL;

	answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	return answer == MAP_FAILED ? NULL : answer;
}

#define NEEDS_BOTH	"needs a kernel for 64-bit and 32-bit x86 programs"

/* What a target registers */
struct lists {
	__u64 native;
	__u32 compat;
};

/* The victim's data says what it registers. victim_hold() has one list only */
static void *hold_both(void *arg)
{
	struct victim *victim = arg;
	struct lists *lists = victim->data;

	if (sizeof(long) == 8)
		victim->registered = (void *)(uintptr_t)lists->native;
	else
		victim->registered = (void *)(uintptr_t)lists->compat;
	if (sizeof(long) == 8 ? set_compat(lists->compat) : set_native(lists->native))
		_exit(KSFT_FAIL);
	victim_hold(victim);
	return NULL;
}

static void run_with_both(struct victim *victim)
{
	hold_both(victim);
}

enum target {
	SELF,
	THREAD,
	PROCESS,
};

FIXTURE(sizes)
{
	/* The target, if that is not the test itself */
	struct victim *victim;
	struct answer *answer;
	struct lists lists;
	pid_t tid;
};

FIXTURE_VARIANT(sizes)
{
	enum target target;
	bool native;
	bool compat;
};

FIXTURE_VARIANT_ADD(sizes, self_both) {
	.target = SELF,
	.native = true,
	.compat = true,
};

FIXTURE_VARIANT_ADD(sizes, self_native) {
	.target = SELF,
	.native = true,
};

FIXTURE_VARIANT_ADD(sizes, self_compat) {
	.target = SELF,
	.compat = true,
};

FIXTURE_VARIANT_ADD(sizes, thread_both) {
	.target = THREAD,
	.native = true,
	.compat = true,
};

FIXTURE_VARIANT_ADD(sizes, process_both) {
	.target = PROCESS,
	.native = true,
	.compat = true,
};

FIXTURE_VARIANT_ADD(sizes, process_native) {
	.target = PROCESS,
	.native = true,
};

FIXTURE_VARIANT_ADD(sizes, process_compat) {
	.target = PROCESS,
	.compat = true,
};

FIXTURE_SETUP(sizes)
{
	struct victim *victim;
	pthread_t thread;

	REQUIRE_ROBUST_LIST();
	self->answer = alloc_answer();
	if (!self->answer)
		SKIP_TEST(NEEDS_BOTH);
	victim = victim_alloc();
	ASSERT_TRUE(!!victim);
	self->victim = victim;

	self->lists.native = variant->native ? NATIVE_LIST : 0;
	self->lists.compat = variant->compat ? COMPAT_LIST : 0;
	victim->data = &self->lists;
	victim->run = run_with_both;
	switch (variant->target) {
	case SELF:
		ASSERT_EQ(0, set_native(self->lists.native));
		ASSERT_EQ(0, set_compat(self->lists.compat));
		self->tid = 0;
		break;
	case THREAD:
		ASSERT_EQ(0, pthread_create(&thread, NULL, hold_both, victim));
		ASSERT_TRUE(happens(victim->tid));
		self->tid = victim->tid;
		break;
	case PROCESS:
		ASSERT_TRUE(victim_start(victim));
		self->tid = victim->tid;
		break;
	}
}

FIXTURE_TEARDOWN(sizes)
{
	if (variant->target == THREAD)
		victim_die(self->victim);
	victim_clean(self->victim);
}

/*
 * A 64-bit caller gets the list that the target registered by the 64-bit call,
 * all of it, and NULL if it registered none by that, whatever it registered by
 * the other. The size is that of a 64-bit head, and both answers are 8 bytes.
 */
TEST_F(sizes, native_caller)
{
	struct answer *answer = self->answer;

	ASSERT_EQ(0, ask_native(answer, self->tid));
	EXPECT_EQ(self->lists.native, answer->native_list);
	EXPECT_EQ(NATIVE_HEAD_SIZE, answer->native_len);
	EXPECT_EQ(UNTOUCHED_NATIVE, answer->native_before);
	EXPECT_EQ(UNTOUCHED_NATIVE, answer->native_between);
	EXPECT_EQ(UNTOUCHED_NATIVE, answer->native_after);
}

/*
 * A 32-bit caller gets the other one, with the size of a 32-bit head, and NULL
 * if there is none: no half of a 64-bit pointer. Both results have 4 bytes, and
 * what is next to them is not changed.
 */
TEST_F(sizes, compat_caller)
{
	struct answer *answer = self->answer;

	ASSERT_EQ(0, ask_compat(answer, self->tid));
	EXPECT_EQ(self->lists.compat, answer->compat_list);
	EXPECT_EQ((__u32)COMPAT_HEAD_SIZE, answer->compat_len);
	EXPECT_EQ(UNTOUCHED_COMPAT, answer->compat_before);
	EXPECT_EQ(UNTOUCHED_COMPAT, answer->compat_between);
	EXPECT_EQ(UNTOUCHED_COMPAT, answer->compat_after);
}

/* The test's own lists of both sizes */
FIXTURE(own)
{
	struct victim *victim;
	struct answer *answer;
	struct lists lists;
};

FIXTURE_SETUP(own)
{
	REQUIRE_ROBUST_LIST();
	self->answer = alloc_answer();
	if (!self->answer)
		SKIP_TEST(NEEDS_BOTH);
	self->victim = victim_alloc();
	ASSERT_TRUE(!!self->victim);
	self->lists.native = NATIVE_LIST;
	self->lists.compat = COMPAT_LIST;
	self->victim->data = &self->lists;
	ASSERT_EQ(0, set_native(NATIVE_LIST));
	ASSERT_EQ(0, set_compat(COMPAT_LIST));
}

FIXTURE_TEARDOWN(own)
{
	victim_clean(self->victim);
}

/* Clearing the list of one call keeps the list of the other. */
TEST_F(own, clear_native_only)
{
	ASSERT_EQ(0, set_native(0));
	ASSERT_EQ(0, ask_native(self->answer, 0));
	EXPECT_EQ(0U, self->answer->native_list);
	ASSERT_EQ(0, ask_compat(self->answer, 0));
	EXPECT_EQ(COMPAT_LIST, self->answer->compat_list);
}

/* And the other way round. */
TEST_F(own, clear_compat_only)
{
	ASSERT_EQ(0, set_compat(0));
	ASSERT_EQ(0, ask_compat(self->answer, 0));
	EXPECT_EQ(0U, self->answer->compat_list);
	ASSERT_EQ(0, ask_native(self->answer, 0));
	EXPECT_EQ(NATIVE_LIST, self->answer->native_list);
}

/* Each call takes the size of one kind of head, and not that of the other. */
TEST_F(own, other_head_size_einval)
{
	EXPECT_EQ(-EINVAL, call_native(SET_NATIVE, 0, COMPAT_HEAD_SIZE, 0));
	EXPECT_EQ(-EINVAL, call_compat(SET_COMPAT, 0, NATIVE_HEAD_SIZE, 0));
	ASSERT_EQ(0, ask_native(self->answer, 0));
	EXPECT_EQ(NATIVE_LIST, self->answer->native_list);
	ASSERT_EQ(0, ask_compat(self->answer, 0));
	EXPECT_EQ(COMPAT_LIST, self->answer->compat_list);
}

/* Callers of either size get ESRCH for a thread that is not there. */
TEST_F(own, esrch)
{
	EXPECT_EQ(ESRCH, ask_compat(self->answer, -1));
	EXPECT_EQ(UNTOUCHED_COMPAT, self->answer->compat_list);
	EXPECT_EQ(UNTOUCHED_COMPAT, self->answer->compat_len);
	EXPECT_EQ(ESRCH, ask_native(self->answer, -1));
	EXPECT_EQ(UNTOUCHED_NATIVE, self->answer->native_list);
	EXPECT_EQ(UNTOUCHED_NATIVE, self->answer->native_len);
}

/*
 * Both calls require the same rights: the list of another user's process is
 * refused to both, and nothing is stored.
 */
TEST_F(own, other_user_eperm)
{
	struct answer *answer = self->answer;
	struct victim *victim = self->victim;
	int native, compat;
	bool untouched;

	if (geteuid())
		SKIP(return, "needs root");

	victim->run = run_with_both;
	ASSERT_TRUE(victim_start(victim));
	ASSERT_EQ(0, setresuid(UNPRIV, UNPRIV, 0));
	native = ask_native(answer, victim->tid);
	untouched = answer->native_list == UNTOUCHED_NATIVE &&
		    answer->native_len == UNTOUCHED_NATIVE;
	compat = ask_compat(answer, victim->tid);
	ASSERT_EQ(0, setresuid(0, 0, 0));
	EXPECT_EQ(EPERM, native);
	EXPECT_TRUE(untouched);
	EXPECT_EQ(EPERM, compat);
	EXPECT_EQ(UNTOUCHED_COMPAT, answer->compat_list);
	EXPECT_EQ(UNTOUCHED_COMPAT, answer->compat_len);
	EXPECT_EQ(0, ask_compat(answer, victim->tid));
	EXPECT_EQ(0, ask_native(answer, victim->tid));
}

/* A new process that registers a list of its own word size alone */
static void run_newborn(struct victim *victim)
{
	victim_hold(victim);
}

/*
 * A new process starts without its creator's lists. No C library registers one of
 * the other word size.
 */
TEST_F(own, fork_clears_other_list)
{
	struct answer *answer = self->answer;

	self->victim->run = run_newborn;
	ASSERT_TRUE(victim_start(self->victim));
	if (sizeof(long) == 8) {
		ASSERT_EQ(0, ask_compat(answer, self->victim->tid));
		EXPECT_EQ(0U, answer->compat_list);
	} else {
		ASSERT_EQ(0, ask_native(answer, self->victim->tid));
		EXPECT_EQ(0U, answer->native_list);
	}
}

static void run_exec_with_both(struct victim *victim)
{
	hold_both(victim);
	victim_exec();
}

/* exec clears both: they are queried before its first instruction. */
TEST_F(own, exec_clears_both)
{
	struct victim *victim = self->victim;
	struct answer *answer = self->answer;

	victim->run = run_exec_with_both;
	victim->whole_process = true;
	ASSERT_TRUE(victim_start(victim));
	ASSERT_EQ(0, ask_compat(answer, victim->tid));
	ASSERT_EQ(COMPAT_LIST, answer->compat_list);
	ASSERT_EQ(0, ask_native(answer, victim->tid));
	ASSERT_EQ(NATIVE_LIST, answer->native_list);

	ASSERT_TRUE(victim_die(victim));
	ASSERT_TRUE(WIFSTOPPED(victim->status));
	ASSERT_EQ(0, ask_compat(answer, victim->pid));
	EXPECT_EQ(0U, answer->compat_list);
	ASSERT_EQ(0, ask_native(answer, victim->pid));
	EXPECT_EQ(0U, answer->native_list);
}

TEST_HARNESS_MAIN
