// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * librobust-unlock.so: release robust mutexes of glibc in a way that a kill cannot
 * interrupt in the middle. A program preloads it.
 *
 * It takes the place of pthread_mutex_unlock(). A robust mutex that processes share is
 * released here: by the function of the vDSO or, if there are waiters, by FUTEX_ROBUST_UNLOCK.
 * All else is passed on to glibc, and so is everything if the kernel has no
 * FUTEX_ROBUST_UNLOCK or if glibc has its fields at other places than expected.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef FUTEX_ROBUST_UNLOCK
#define FUTEX_ROBUST_UNLOCK	512
#endif

#if defined(__powerpc64__) || defined(__s390x__)
#define VDSO_NAME	"linux-vdso64.so.1"
#else
#define VDSO_NAME	"linux-vdso.so.1"
#endif
#define VDSO_SYMBOL	"__vdso_futex_robust_list64_try_unlock"

/* Kinds of a mutex: the low bits are its type */
#define KIND_RECURSIVE	1
#define KIND_TYPE_MASK	3
#define KIND_ROBUST	16
#define KIND_SHARED	128
/* Whether it may be elided. glibc sets them, and does not elide a robust mutex. */
#define KIND_ELISION	0x300

/**
 * struct mutex - What 64-bit glibc has in a pthread_mutex_t
 * @word:	the futex
 * @count:	how often a recursive mutex is locked
 * @owner:	TID, or a value that tells that the data may be inconsistent
 * @nusers:	1 if it is locked
 * @kind:	KIND_
 * @unused:	for mutexes of other kinds
 * @prev:	of the robust list: address of @next in the previous mutex
 * @next:	address of @next in the next one; bit 0 of both tells that it is a PI mutex
 */
struct mutex {
	__u32 word;
	__u32 count;
	__u32 owner;
	__u32 nusers;
	__u32 kind;
	__u32 unused;
	uintptr_t prev;
	uintptr_t next;
};

/* glibc has a previous pointer before the head, too */
#define PREV_OF(next)	((uintptr_t *)(((next) & ~(uintptr_t)1) - sizeof(uintptr_t)))
#define NEXT_OF(prev)	((uintptr_t *)((prev) & ~(uintptr_t)1))

typedef __u32 (*try_unlock_fn)(__u32 *word, __u32 tid, __u64 *pending);
typedef int (*unlock_fn)(pthread_mutex_t *mutex);

static try_unlock_fn try_unlock;
static unlock_fn next_unlock;
static bool active;

/* Of the calling thread; 0 and NULL until they are needed */
static __thread __u32 own_tid __attribute__((tls_model("initial-exec")));
static __thread struct robust_list_head *own_head __attribute__((tls_model("initial-exec")));

static struct robust_list_head *get_head(void)
{
	struct robust_list_head *head = NULL;
	size_t len;

	if (syscall(SYS_get_robust_list, 0, &head, &len) || len != sizeof(*head))
		return NULL;
	return head;
}

/* The child of a fork() has another TID, and its list is at the same place. */
static void forget_tid(void)
{
	own_tid = 0;
}

static unlock_fn find_next(void)
{
	if (!next_unlock)
		next_unlock = (unlock_fn)dlsym(RTLD_NEXT, "pthread_mutex_unlock");
	if (!next_unlock)
		abort();
	return next_unlock;
}

/*
 * The call has failed with the lock still held. That cannot be, unless the program has
 * unmapped what glibc uses. It is released as glibc does it.
 */
static void release_plain(struct mutex *mutex, struct robust_list_head *head)
{
	__u32 *word = &mutex->word;

	if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) & FUTEX_WAITERS)
		syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
	__atomic_store_n(&head->list_op_pending, NULL, __ATOMIC_RELAXED);
}

/*
 * Take the mutex off the list, and release it. It is pending from before until the
 * kernel, or the vDSO, clears the pointer. After the release its memory is not touched.
 */
static void release(struct mutex *mutex, struct robust_list_head *head, __u32 tid)
{
	__u64 *pending = (__u64 *)&head->list_op_pending;
	__u32 *word = &mutex->word;

	__atomic_store_n(pending, (uintptr_t)&mutex->next, __ATOMIC_RELAXED);
	/* What a kill finds is in the order of the program: only the compiler may change that */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	*PREV_OF(mutex->next) = mutex->prev;
	*NEXT_OF(mutex->prev) = mutex->next;
	mutex->prev = 0;
	mutex->next = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);

	mutex->count = 0;
	mutex->owner = 0;
	mutex->nusers--;
	if (try_unlock && try_unlock(word, tid, pending) == tid)
		return;
	if (syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_ROBUST_UNLOCK, 1, NULL, pending, 0) < 0 &&
	    (__atomic_load_n(word, __ATOMIC_RELAXED) & FUTEX_TID_MASK) == tid)
		release_plain(mutex, head);
}

/* Whether the mutex is one that the calling thread releases here */
static bool is_ours(const struct mutex *mutex)
{
	__u32 kind = __atomic_load_n(&mutex->kind, __ATOMIC_RELAXED);

	if ((kind & ~(KIND_TYPE_MASK | KIND_ELISION)) != (KIND_ROBUST | KIND_SHARED))
		return false;
	if (!own_tid)
		own_tid = syscall(SYS_gettid);
	/* Not held, or with data that is not declared consistent: there glibc decides */
	if ((__atomic_load_n(&mutex->word, __ATOMIC_RELAXED) & FUTEX_TID_MASK) != own_tid ||
	    mutex->owner != own_tid)
		return false;
	if ((kind & KIND_TYPE_MASK) == KIND_RECURSIVE && mutex->count != 1)
		return false;
	if (!own_head)
		own_head = get_head();
	return own_head;
}

int pthread_mutex_unlock(pthread_mutex_t *pthread_mutex)
{
	struct mutex *mutex = (struct mutex *)pthread_mutex;

	if (!active || !is_ours(mutex))
		return find_next()(pthread_mutex);
	release(mutex, own_head, own_tid);
	return 0;
}

/* Its other name in glibc */
int __pthread_mutex_unlock(pthread_mutex_t *mutex);

int __pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	return pthread_mutex_unlock(mutex);
}

static bool make_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attributes;
	bool made;

	if (pthread_mutexattr_init(&attributes))
		return false;
	made = !pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) &&
	       !pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) &&
	       !pthread_mutex_init(mutex, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return made;
}

/* Whether all fields of @mutex, the last one that was locked, have what they should */
static bool looks_right(const struct mutex *mutex, const struct robust_list_head *head,
			uintptr_t next)
{
	__u32 tid = syscall(SYS_gettid);

	return mutex->word == tid && mutex->owner == tid && mutex->nusers == 1 &&
	       mutex->kind == (KIND_ROBUST | KIND_SHARED) && mutex->next == next &&
	       mutex->prev == (uintptr_t)&head->list &&
	       (uintptr_t)head->list.next == (uintptr_t)&mutex->next && !head->list_op_pending;
}

static bool is_free(const struct mutex *mutex)
{
	return !mutex->word && !mutex->owner && !mutex->nusers && !mutex->next && !mutex->prev;
}

/*
 * Lock two mutexes, and compare with what is expected: then release one here, one by glibc.
 * The list may have mutexes already, of the program's other constructors.
 */
static bool layout_fits(void)
{
	static pthread_mutex_t first, second;
	const struct mutex *one = (struct mutex *)&first, *two = (struct mutex *)&second;
	struct robust_list_head *head = get_head();
	uintptr_t before;
	bool fits;

	if (sizeof(long) != 8 || sizeof(struct mutex) > sizeof(first) || !head ||
	    head->futex_offset != (long)offsetof(struct mutex, word) -
				  (long)offsetof(struct mutex, next))
		return false;
	if (!make_mutex(&first) || !make_mutex(&second))
		return false;

	before = (uintptr_t)head->list.next;
	if (pthread_mutex_lock(&first))
		return false;
	fits = looks_right(one, head, before);
	if (pthread_mutex_lock(&second)) {
		find_next()(&first);
		return false;
	}
	fits = fits && looks_right(two, head, (uintptr_t)&one->next) &&
	       one->prev == (uintptr_t)&two->next;
	if (fits) {
		release((struct mutex *)one, head, syscall(SYS_gettid));
		fits = is_free(one) && two->next == before &&
		       *PREV_OF(before) == (uintptr_t)&two->next;
	} else {
		find_next()(&first);
	}
	find_next()(&second);
	return fits && is_free(two) && (uintptr_t)head->list.next == before &&
	       !head->list_op_pending;
}

static bool has_call(void)
{
	__u64 pending = 0;
	__u32 word = 0;

	return !syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_ROBUST_UNLOCK, 1, NULL, &pending, 0);
}

/* By the name that the dynamic linker has for it; NULL if there is no such function */
static try_unlock_fn find_vdso_function(void)
{
#if defined(__powerpc64__) && (!defined(_CALL_ELF) || _CALL_ELF == 1)
	/* Functions have descriptors in this ABI, and those of the vDSO have none. */
	return NULL;
#else
	void *vdso = dlopen(VDSO_NAME, RTLD_LAZY | RTLD_NOLOAD);

	return vdso ? (try_unlock_fn)dlsym(vdso, VDSO_SYMBOL) : NULL;
#endif
}

static void tell(const char *what)
{
	if (getenv("ROBUST_UNLOCK_VERBOSE"))
		fprintf(stderr, "robust-unlock: %s\n", what);
}

static void __attribute__((constructor)) begin(void)
{
	find_next();
	if (!has_call()) {
		tell("not active: the kernel has no FUTEX_ROBUST_UNLOCK");
		return;
	}
	try_unlock = find_vdso_function();
	if (!layout_fits()) {
		tell("not active: this glibc has other mutexes");
		return;
	}
	if (pthread_atfork(NULL, NULL, forget_tid)) {
		tell("not active: no memory");
		return;
	}
	active = true;
	tell(try_unlock ? "active, by the vDSO and the call" : "active, by the call");
}
