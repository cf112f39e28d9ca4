// SPDX-License-Identifier: GPL-2.0
/* The lock, the file that takes its place, and the ways to release it. */
#define _GNU_SOURCE
#include "unlock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const char *const way_names[WAYS] = {
	[PLAIN] = "plain",
	[CALL] = "call",
	[VDSO] = "vdso",
	[MOVED] = "moved",
	[LIST32] = "list32",
};

struct scene *scene;
struct lock *lock;
size_t page_size;

/* The files of the lock, and of what takes its place */
static int lock_file, data_file;

/* The function of the vDSO, in the process that calls it */
static struct try_unlock function;

static int make_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, page_size))
		bail_out("cannot make a file in memory");
	return fd;
}

static void *map_at(unsigned long address, size_t size, int flags, int fd)
{
	void *at = mmap((void *)address, size, PROT_READ | PROT_WRITE,
			flags | (address ? MAP_FIXED : 0), fd, 0);

	if (at == MAP_FAILED)
		bail_out("cannot map memory");
	return at;
}

void make_scene(void)
{
	page_size = sysconf(_SC_PAGESIZE);
	scene = map_at(SCENE_AT, sizeof(*scene), MAP_SHARED | MAP_ANONYMOUS, -1);
	lock_file = make_file("lock");
	data_file = make_file("data");
	lock = map_at(0, page_size, MAP_SHARED, lock_file);
}

/*
 * A 64-bit program can register a 32-bit list on x86: by the 32-bit system call. The
 * kernel may have none, which a child finds out.
 */
#ifdef __x86_64__
#define SET_ROBUST_LIST_32 311
#endif

static long register_list32(void)
{
#ifdef __x86_64__
	struct head32 *head = &scene->head32;
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a" (ret)
			 : "a" (SET_ROBUST_LIST_32), "b" (head), "c" (sizeof(*head))
			 : "r8", "r9", "r10", "r11", "memory");
	return ret;
#elif __SIZEOF_POINTER__ == 4
	return syscall(SYS_set_robust_list, &scene->head32, sizeof(scene->head32));
#else
	return -1;
#endif
}

const char *missing(enum way way)
{
	if (way != PLAIN && !has_unlock_call())
		return "the kernel has no FUTEX_ROBUST_UNLOCK";
	if (way >= VDSO && !find_try_unlock(way == LIST32).address)
		return "the vDSO has no such function";
#if !defined(__x86_64__) && __SIZEOF_POINTER__ == 8
	if (way == LIST32)
		return "a 64-bit program has no 32-bit list here";
#endif
	return NULL;
}

void set_scene(enum way way)
{
	memset(scene, 0, sizeof(*scene));
	memset(lock, 0, page_size);
	scene->way = way;
	/* Found here: a fork has the vDSO at the same place. */
	function = find_try_unlock(way == LIST32);
}

/* The victim has the lock, which is off the list and pending; the witness is on it. */
void hand_lock(unsigned int tid, unsigned int bits)
{
	unsigned long witness = (unsigned long)&scene->witness.next;
	unsigned long entry = (unsigned long)&victim_lock->next;

	scene->tid = tid;
	scene->witness.word = tid;
	lock->word = tid | bits;
	if (scene->way == LIST32) {
		scene->witness.next32 = (unsigned long)&scene->head32;
		scene->head32.next = witness;
		scene->head32.offset = WORD_OFFSET;
		scene->head32.pending = entry;
	} else {
		scene->witness.next = (unsigned long)&scene->head;
		scene->head.next = witness;
		scene->head.offset = WORD_OFFSET;
		scene->head.pending = entry;
	}
}

void enter_scene(void)
{
	map_at(LOCK_AT, page_size, MAP_SHARED, lock_file);
	/* Before the lists lead anywhere they are empty. */
	scene->head.next = (unsigned long)&scene->head;
	scene->head32.next = (unsigned long)&scene->head32;
	if (scene->way == LIST32 ? register_list32() :
	    syscall(SYS_set_robust_list, &scene->head, sizeof(scene->head)))
		_exit(2);
	if (scene->way == MOVED && !move_vdso(&function))
		_exit(3);
}

static void *replace_when_told(void *unused)
{
	(void)unused;
	while (!scene->replace)
		sleep_ns(20 * 1000);
	munmap(victim_lock, page_size);
	map_at(LOCK_AT, page_size, MAP_SHARED, data_file);
	scene->replaced = 1;
	for (;;)
		pause();
	return NULL;
}

bool start_replacer(void)
{
	pthread_t thread;

	return !pthread_create(&thread, NULL, replace_when_told, NULL);
}

static volatile void *pending_field(void)
{
	if (scene->way == LIST32)
		return &scene->head32.pending;
	return &scene->head.pending;
}

bool is_pending(void)
{
	return scene->way == LIST32 ? scene->head32.pending : scene->head.pending;
}

/* As a C library does it: the word, the wakeup, the pending pointer. */
static void release_plain(void)
{
	volatile unsigned int *word = &victim_lock->word;

	if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) & FUTEX_WAITERS)
		syscall(SYS_futex, word, FUTEX_WAKE, 1L, NULL, NULL, 0L);
	scene->head.pending = 0;
}

void release(void)
{
	int flags = scene->way == LIST32 ? FUTEX_ROBUST_LIST32 : 0;
	volatile unsigned int *word = &victim_lock->word;

	if (scene->way == PLAIN) {
		release_plain();
		return;
	}
	if (scene->way == CALL ||
	    try_unlock(&function, word, scene->tid, pending_field()) != scene->tid)
		unlock_call(word, flags, pending_field());
}

unsigned int file_word(void)
{
	unsigned int value = 0;

	if (pread(data_file, &value, sizeof(value), 0) != sizeof(value))
		bail_out("cannot read the file");
	return value;
}

bool take_and_replace(void)
{
	unsigned int free = 0, tid = scene->tid;
	double end = now_seconds() + 20;

	if (!__atomic_compare_exchange_n(&lock->word, &free, 1, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return false;
	/* It is released in the proper way, and its waiter is the last that has it. */
	__atomic_store_n(&lock->word, 0, __ATOMIC_RELEASE);
	syscall(SYS_futex, &lock->word, FUTEX_WAKE, 1L, NULL, NULL, 0L);
	while (scene->sleeps && !scene->back && now_seconds() < end)
		sleep_ns(20 * 1000);
	memset(lock, 0, page_size);
	if (pwrite(data_file, &tid, sizeof(tid), 0) != sizeof(tid))
		bail_out("cannot write the file");
	scene->replace = 1;
	while (!scene->replaced && now_seconds() < end)
		sleep_ns(20 * 1000);
	return true;
}
