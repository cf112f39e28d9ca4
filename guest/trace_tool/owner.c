// SPDX-License-Identifier: GPL-2.0
/* Owners of robust futexes, and how they end. */
#define _GNU_SOURCE
#include "trace_tool.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE		4096
/* set_robust_list() of 32-bit programs, and its head and locks */
#define SYS_SET_ROBUST_LIST_32	311

struct head_32 {
	unsigned int next;
	int futex_offset;
	unsigned int pending;
};

struct lock_32 {
	unsigned int next;
	volatile unsigned int word;
};

struct list_32 {
	struct head_32 head;
	struct lock_32 lock;
};

struct shared *shared;
struct lock *file_lock;

void map_lock_file(void)
{
	char *memory;
	int fd;

	fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, PAGE))
		bail_out(LOCK_FILE);
	memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		bail_out("mmap()");
	close(fd);
	file_lock = (struct lock *)(memory + LOCK_OFFSET);
}

static bool wait_for(const volatile int *flag)
{
	long long end = now_ms() + TIME_LIMIT;

	while (!*flag && now_ms() < end)
		sleep_ms(1);
	return *flag;
}

static struct robust_list_head *new_list(struct lock *locks, unsigned int many)
{
	static struct robust_list_head head;
	unsigned int i;

	head.futex_offset = offsetof(struct lock, word);
	head.list_op_pending = NULL;
	head.list.next = &locks[0].list;
	for (i = 0; i < many; i++)
		locks[i].list.next = i + 1 < many ? &locks[i + 1].list : &head.list;
	return &head;
}

/* A page that userfaultfd holds back, also after an exec has closed the descriptor here */
static struct lock *late_page(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	void *page;

	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (uintptr_t)page;
	range.range.len = PAGE;
	if (fd < 0 || page == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &range))
		_exit(96);
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return page;
}

static void *new_memory(size_t size, int flags)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);

	if (memory == MAP_FAILED)
		_exit(99);
	return memory;
}

/* Hold a lock of a 32-bit list. Returns its word. */
static const volatile unsigned int *own_32(pid_t tid)
{
	struct list_32 *list = new_memory(sizeof(*list), MAP_PRIVATE | MAP_32BIT);
	long status = SYS_SET_ROBUST_LIST_32;

	list->head.next = (uintptr_t)&list->lock.next;
	list->head.futex_offset = offsetof(struct lock_32, word);
	list->lock.next = (uintptr_t)&list->head;
	list->lock.word = tid;
	__asm__ volatile("int $0x80"
			 : "+a" (status)
			 : "b" (&list->head), "c" (sizeof(list->head))
			 : "memory", "r8", "r9", "r10", "r11");
	if (status)
		_exit(95);
	return &list->lock.word;
}

/* Memory for the locks. The second of two that is read-only has a page of its own. */
static struct lock *place_of(const struct owner *owner, unsigned int many)
{
	int flags = owner->place == IN_SHARED ? MAP_SHARED : MAP_PRIVATE;

	if (owner->place == IN_FILE)
		return file_lock;
	if (owner->read_only)
		return (struct lock *)((char *)new_memory(2 * PAGE, flags) + PAGE) - 1;
	return new_memory(many * sizeof(struct lock), flags);
}

static const volatile unsigned int *own_native(const struct owner *owner, pid_t tid)
{
	unsigned int many = owner->many ? owner->many : 1, i;
	struct lock *locks = place_of(owner, many);
	struct robust_list_head *head = new_list(locks, many);

	for (i = 0; i < many; i++)
		locks[i].word = tid | (owner->waiter && !owner->releases ? FUTEX_WAITERS : 0);
	if (owner->pi)
		head->list.next = (void *)((uintptr_t)head->list.next | 1);
	if (owner->pending) {
		head->list_op_pending = head->list.next;
		head->list.next = &head->list;
		locks[0].word = 0;
	}
	if (owner->releases) {
		head->list_op_pending = &file_lock->list;
		file_lock->word = 0;
	}
	if (owner->broken)
		locks[0].list.next = NULL;
	if (owner->late)
		locks[0].list.next = &late_page()->list;
	if (owner->read_only && mprotect(&locks[1], PAGE, PROT_READ))
		_exit(94);
	syscall(SYS_set_robust_list, head, sizeof(*head));
	return &locks[0].word;
}

static void own(const struct owner *owner)
{
	pid_t tid = syscall(SYS_gettid);

	prctl(PR_SET_NAME, owner->comm);
	shared->word = owner->compat ? own_32(tid) : own_native(owner, tid);
	shared->tid = tid;
	shared->ready = 1;
	while (!shared->go)
		sleep_ms(1);
}

static void do_exec(void)
{
	execl("/programs/default/timeout", "timeout", NULL);
	_exit(93);
}

static void *own_as_thread(void *arg)
{
	const struct owner *owner = arg;

	own(owner);
	if (owner->ending == THREAD_EXECS)
		do_exec();
	syscall(SYS_exit, 7);
	return NULL;
}

static void run_owner(const struct owner *owner)
{
	pthread_t thread;

	if (owner->ending == THREAD_EXITS || owner->ending == THREAD_EXECS) {
		pthread_create(&thread, NULL, own_as_thread, (void *)owner);
		pthread_join(thread, NULL);
		/* Its own list is empty. */
		_exit(0);
	}
	own(owner);
	if (owner->ending == EXECS)
		do_exec();
	if (owner->ending == KILLED)
		kill(getpid(), owner->signal ? owner->signal : SIGKILL);
	_exit(owner->ending == EXITS ? 3 : 99);
}

/* The owner is the first process of a PID namespace, and a child of this one. */
static void run_in_namespace(const struct owner *owner)
{
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		_exit(92);
	pid = fork();
	if (!pid)
		run_owner(owner);
	shared->pid = pid;
	waitpid(pid, NULL, 0);
	_exit(0);
}

/* The order of events is certain for those of one CPU: each has a buffer of its own. */
static void stay_on_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		_exit(91);
}

/* Sleeps on the word in the file until it is woken; 0 if it was */
static void run_waiter(void)
{
	unsigned int word = file_lock->word;

	shared->waits = true;
	if (syscall(SYS_futex, &file_lock->word, FUTEX_WAIT, word, NULL, NULL, 0))
		_exit(1);
	_exit(0);
}

pid_t start_owner(const struct owner *owner)
{
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	pid = fork();
	if (!pid) {
		stay_on_cpu();
		if (owner->namespace)
			run_in_namespace(owner);
		run_owner(owner);
	}
	if (!owner->namespace)
		shared->pid = pid;
	check(wait_for(&shared->ready) && wait_for(&shared->pid), "the owner does not start");
	return pid;
}

void end_owner(const struct owner *owner, pid_t pid)
{
	pid_t waiter = 0;
	int status;

	if (owner->waiter) {
		waiter = fork();
		if (!waiter)
			run_waiter();
		while (!shared->waits || task_state(waiter) != 'S')
			sleep_ms(1);
	}
	shared->go = 1;
	waitpid(pid, &status, 0);
	if (waiter) {
		long long end = now_ms() + TIME_LIMIT;
		pid_t ended;

		while (!(ended = waitpid(waiter, &status, WNOHANG)) && now_ms() < end)
			sleep_ms(1);
		if (ended != waiter) {
			check(false, "the waiter still sleeps");
			kill(waiter, SIGKILL);
			waitpid(waiter, &status, 0);
		}
	}
}

pid_t let_die(const struct owner *owner)
{
	pid_t pid = start_owner(owner);

	end_owner(owner, pid);
	return pid;
}
