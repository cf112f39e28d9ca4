// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Robust futexes: mark the locks that a thread holds when it dies.
 *
 * A thread keeps a list of the locks it holds in its own memory, and registers
 * the head of the list with the kernel once. Taking and releasing a lock then
 * costs no system call. When the thread dies, the kernel walks the list: each
 * futex word that still carries the thread's TID gets FUTEX_OWNER_DIED in its
 * place, and one waiter is woken.
 *
 * The thread may die between any two instructions. These are the steps that
 * it takes in user space, and the state that the walk finds after each:
 *
 *	 lock				 unlock
 *
 *   [1] list_op_pending = entry	[5] list_op_pending = entry
 *   [2] word: 0 -> TID, or wait	[6] take the entry off the list
 *   [3] put the entry on the list	[7] word: TID -> 0
 *   [4] list_op_pending = NULL		[8] wake one, if FUTEX_WAITERS was set
 *					[9] list_op_pending = NULL
 *
 * [4] to [5]	The lock is on the list and carries the TID: mark it.
 * [2], [6]	The lock is not on the list and carries the TID, and only
 *		list_op_pending leads to it: mark it.
 * [3], [5]	The lock is on the list and is pending: mark it once. It is
 *		passed over in the list and left to the end.
 * [7]		The word is not the thread's any more, but the wakeup of a
 *		waiter was not made: make it.
 * [1]		The thread may have slept in [2], and have been woken to take
 *		the lock. The wakeup is consumed and the lock was not taken, so
 *		the wakeup has to be passed on: make it. The same holds if a
 *		third thread took the lock meanwhile without FUTEX_WAITERS in
 *		the word: it wakes no waiter when it unlocks, and those that
 *		slept before still sleep. With FUTEX_WAITERS it wakes one.
 *
 * In [7] and [1] the kernel cannot determine whether a wakeup is missing. A
 * spurious one is harmless, since a waiter reads the word again.
 *
 * Nothing in user memory is trusted. Any pointer may have any value, the list
 * may be circular, and other threads may rewrite all of it during the walk.
 * The following holds nevertheless:
 *
 *  - Memory is reached through the accessors for user memory alone, and a word
 *    is written only by an atomic exchange that finds the thread's TID in it.
 *  - A lock that cannot be accessed is skipped: the walk continues as long as
 *    the link to the next entry can be read.
 *  - The walk ends. Marking a lock removes the TID from its word, so a circular
 *    list soon has only entries without anything to mark, and the walk accepts
 *    no more than ROBUST_LIST_LIMIT of these. Other threads can write the TID
 *    back continuously. For this case there is a limit on visits of any kind,
 *    far above any real number of locks.
 *
 * These steps cannot prevent one error: after [7] the lock may be destroyed
 * and its memory reused. If the value that is there now equals the TID, it is
 * treated as a lock and changed. A thread has to clear list_op_pending before it
 * frees the memory, but another thread may unmap and reuse it earlier. For this
 * [7] to [9] can be one operation, see unlock.c.
 *
 * On a 64-bit kernel a thread can have two lists, one registered by each kind
 * of system call. The walk of the compat list differs in the width of its
 * pointers and in the arithmetic modulo 2^32 only.
 */

#include <linux/compat.h>
#include <linux/nospec.h>
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/syscalls.h>
#include <linux/timer.h>

#include "futex.h"
#include "robust.h"

/*
 * Upper bound on the steps of a walk, for each list, and again for the exchanges
 * of its pending lock. It bounds the time even if other threads rewrite the list
 * and the words during the walk.
 */
#define ROBUST_VISIT_LIMIT	(16 * 1024 * 1024)

/*
 * After this many steps the walk makes the wakeups that are due and lets other
 * tasks run. Until then the words that have waiters are kept in an array on the
 * stack, where more of them would take too much space.
 */
#define ROBUST_BATCH		64

/*
 * The same where a list of a few locks is expected: CONFIG_INIT_STACK_ALL_ZERO
 * clears the words, and for ten locks 64 of them would be a tenth of the cost.
 */
#define ROBUST_FEW		16

/*
 * The time that the walk of a dying task waits for pages in all, counted from
 * the first page that is not present. A list of 2048 locks with two pages for
 * each lock, entry and word, takes 41 seconds if a disk reads a page in 10 ms.
 * A task that waits for the owner of a PI futex to exit does so
 * uninterruptibly: twice the limit is what the hung task detector allows by
 * default.
 *
 * A task in an exec is not dying before it is killed, and a kill can end its
 * wait at any time. There the time is counted from the kill.
 */
#define ROBUST_WAIT_LIMIT	(60 * HZ)

/**
 * struct robust_wait - What a walk needs in order to wait for pages
 * @timer:	ends the waiting, see robust_wait_expire()
 * @task:	the task that walks
 * @armed:	whether the time is being counted; if not, none of the other
 *		fields is set
 * @expired:	whether the time is over
 * @injected:	whether the timer made the fatal signal that is pending then
 * @group_ends:	whether the thread group was ending when it did
 * @deferred:	whether a fatal signal was taken out of the pending ones
 */
struct robust_wait {
	struct timer_list timer;
	struct task_struct *task;
	bool armed;
	bool expired;
	bool injected;
	bool group_ends;
	bool deferred;
};

/**
 * struct robust_list_info - A list, as described by its head
 * @end:		address of the head's list field: a link to it ends the list
 * @first:		pointer to the first entry
 * @futex_offset:	distance from a list entry to its futex word
 * @pending:		pointer to the lock of list_op_pending; 0 if there is none
 * @link_base:		the lowest link that is safe, see robust_set_bounds()
 * @word_base:		the word that belongs to it
 * @span:		how many links are safe, from there upwards, in units of
 *			four bytes
 * @tid:		the thread's TID, as its futex words carry it
 *
 * A pointer here is one to a list entry as user memory has it: bit 0 is set if
 * the lock is a PI futex, and the rest is the link. See robust_link().
 */
struct robust_list_info {
	unsigned long end;
	unsigned long first;
	unsigned long futex_offset;
	unsigned long pending;
	unsigned long link_base;
	unsigned long word_base;
	unsigned long span;
	u32 tid;
};

/**
 * struct robust_walk - The state of a walk that has left the fast path
 * @list:		the list
 * @compat:		whether it is a 32-bit one
 * @wait:		how long the walk may wait for pages, shared by both lists
 * @next:		pointer to the entry to visit next
 * @misses:		entries seen that turned out to be no lock of the thread
 * @visits:		steps of any kind made so far
 * @nr_words:		the number of @words
 * @words:		marked words with FUTEX_WAITERS that still need a wakeup.
 *			There is room for ROBUST_BATCH of them, and the wakeups
 *			are made after as many steps.
 * @woken:		waiters that were woken, if the walk is traced
 * @record:		data for trace events; NULL if the walk is not traced
 */
struct robust_walk {
	const struct robust_list_info *list;
	bool compat;
	struct robust_wait *wait;
	unsigned long next;
	unsigned int misses;
	unsigned int visits;
	unsigned int nr_words;
	u32 __user **words;
	unsigned int woken;
	struct robust_walk_record *record;
};

/**
 * sys_set_robust_list() - Register the list of locks held by this thread
 * @head:	user address of the head of the list
 * @len:	size of the head, which identifies its version
 *
 * The kernel stores the address and reads the head when the thread exits. The
 * memory is not accessed before, so @head may have any value.
 *
 * Return: 0, or -EINVAL if @len is not the size of the head
 */
SYSCALL_DEFINE2(set_robust_list,
		struct robust_list_head __user *, head, size_t, len)
{
	if (len != sizeof(struct robust_list_head))
		return -EINVAL;

	WRITE_ONCE(current->robust_list, head);
	return 0;
}

/*
 * Get the list head that the thread @pid registered.
 *
 * Between the check of the credentials and the read of the pointer the thread
 * may exec a program that the caller has no access to. exec clears the
 * list of the old program before it takes exec_update_lock, and the new
 * program runs after exec has released it. So under that lock the pointer
 * either belongs to the program that was checked or is NULL.
 */
static int robust_list_lookup(pid_t pid, bool compat, void __user **head)
{
	struct task_struct *task;
	int ret;

	task = pid ? find_get_task_by_vpid(pid) : get_task_struct(current);
	if (!task)
		return -ESRCH;

	ret = down_read_killable(&task->signal->exec_update_lock);
	if (ret)
		goto out;

	if (!ptrace_may_access(task, PTRACE_MODE_READ_REALCREDS))
		ret = -EPERM;
#ifdef CONFIG_COMPAT
	else if (compat)
		*head = READ_ONCE(task->compat_robust_list);
#endif
	else
		*head = READ_ONCE(task->robust_list);

	up_read(&task->signal->exec_update_lock);
out:
	put_task_struct(task);
	return ret;
}

/**
 * sys_get_robust_list() - Get the list head that a thread registered
 * @pid:	TID of the thread, 0 for the caller
 * @head_ptr:	where the user address of the head is stored
 * @len_ptr:	where the size of the head is stored
 *
 * Return: 0 or
 * -ESRCH - there is no such thread
 * -EPERM - the caller may not read the state of that thread
 * -EFAULT - a result could not be stored
 * -EINTR - the caller was killed while the thread was in an exec
 */
SYSCALL_DEFINE3(get_robust_list, int, pid,
		struct robust_list_head __user * __user *, head_ptr,
		size_t __user *, len_ptr)
{
	void __user *head;
	int ret;

	ret = robust_list_lookup(pid, false, &head);
	if (ret)
		return ret;

	if (put_user(sizeof(struct robust_list_head), len_ptr) ||
	    put_user(head, head_ptr))
		return -EFAULT;
	return 0;
}

#ifdef CONFIG_COMPAT
/* The same for callers with 32-bit pointers: they see the 32-bit list. */
COMPAT_SYSCALL_DEFINE2(set_robust_list,
		       struct compat_robust_list_head __user *, head,
		       compat_size_t, len)
{
	if (len != sizeof(struct compat_robust_list_head))
		return -EINVAL;

	WRITE_ONCE(current->compat_robust_list, head);
	return 0;
}

COMPAT_SYSCALL_DEFINE3(get_robust_list, int, pid,
		       compat_uptr_t __user *, head_ptr,
		       compat_size_t __user *, len_ptr)
{
	void __user *head;
	int ret;

	ret = robust_list_lookup(pid, true, &head);
	if (ret)
		return ret;

	if (put_user(sizeof(struct compat_robust_list_head), len_ptr) ||
	    put_user(ptr_to_compat(head), head_ptr))
		return -EFAULT;
	return 0;
}
#endif /* CONFIG_COMPAT */

static bool robust_compat(const struct robust_walk *walk)
{
	return IS_ENABLED(CONFIG_COMPAT) && walk->compat;
}

/* Whether the walk has trace events */
static bool robust_traced(const struct robust_walk *walk)
{
	return IS_ENABLED(CONFIG_TRACEPOINTS) && unlikely(walk->record);
}

/* Whether the threads of a process are killed, by a signal, an exit or an exec */
static bool robust_group_ends(const struct task_struct *task)
{
	return task->signal->flags & SIGNAL_GROUP_EXIT ||
	       task->signal->group_exec_task;
}

/*
 * The limit has expired. A fatal signal ends each wait of a fault, the current
 * one and all later ones, and does not affect faults that do not wait.
 */
static void robust_wait_expire(struct timer_list *timer)
{
	struct robust_wait *wait = from_timer(wait, timer, timer);
	struct task_struct *task = wait->task;
	unsigned long flags;

	/* The task ends the timer before it gives up its signal handlers. */
	if (WARN_ON_ONCE(!lock_task_sighand(task, &flags)))
		return;

	WRITE_ONCE(wait->expired, true);
	wait->injected = !sigismember(&task->pending.signal, SIGKILL);
	wait->group_ends = robust_group_ends(task);
	sigaddset(&task->pending.signal, SIGKILL);
	signal_wake_up_state(task, TASK_WAKEKILL);

	unlock_task_sighand(task, &flags);
}

/*
 * Prepare for an access that may have to wait for a page.
 *
 * While a fatal signal is pending a fault gives up where it would have to wait,
 * for a page or for the mmap lock, so that the task dies sooner. This task is
 * dying already, and the marks on its locks must not depend on whether and when
 * the process is killed as well. So the signal is removed from the pending ones
 * until the walk is complete, and all accesses wait as they would without it.
 * Clearing TIF_SIGPENDING is not sufficient: a fault handler of a file system
 * that blocks signals recalculates the flag, and with task work pending the flag
 * is not checked.
 *
 * A page that is never delivered must not prevent the exit, with or without a
 * kill. The first access of this kind starts a timer, which makes a fatal signal
 * visible permanently, or generates one. While a generated signal is pending, a
 * kill that is sent to this task alone is dropped as a repetition. This does not
 * matter for a task that is exiting, but for a task in an exec it does. There
 * the timer generates no signal, as it is not started before a kill.
 */
static void robust_wait_begin(struct robust_wait *wait)
{
	unsigned long flags;

	if (!wait->armed) {
		if (!(current->flags & PF_EXITING) &&
		    !__fatal_signal_pending(current))
			return;

		wait->task = current;
		wait->expired = false;
		wait->injected = false;
		wait->deferred = false;
		wait->armed = true;
		timer_setup_on_stack(&wait->timer, robust_wait_expire, 0);
		mod_timer(&wait->timer, jiffies + ROBUST_WAIT_LIMIT);
	}

	if (likely(!__fatal_signal_pending(current)) ||
	    !lock_task_sighand(current, &flags))
		return;

	/* Under the lock, as the signal may be the timer's by now. */
	if (!wait->expired) {
		sigdelset(&current->pending.signal, SIGKILL);
		clear_thread_flag(TIF_SIGPENDING);
		wait->deferred = true;
	}
	unlock_task_sighand(current, &flags);
}

/* Whether to repeat an access that failed: a signal ended it, not the limit. */
static bool robust_wait_again(const struct robust_wait *wait)
{
	if (!__fatal_signal_pending(current) ||
	    (wait->armed && READ_ONCE(wait->expired)))
		return false;

	cond_resched();
	return true;
}

/*
 * The walk is complete: leave the signals as they would be without it.
 *
 * The signal of the timer is removed, so that it does not end later waits of
 * the exit, such as the flush of a file. But if the thread group has begun to
 * end meanwhile, the signal may be that of a kill, and is kept.
 */
static void robust_wait_end(struct robust_wait *wait)
{
	unsigned long flags;

	if (likely(!wait->armed))
		return;

	del_timer_sync(&wait->timer);
	destroy_timer_on_stack(&wait->timer);

	if (likely(!wait->expired && !wait->deferred) ||
	    !lock_task_sighand(current, &flags))
		return;

	if (wait->deferred) {
		sigaddset(&current->pending.signal, SIGKILL);
		/* The flag that was cleared may have been that of the freezer. */
		set_thread_flag(TIF_SIGPENDING);
	} else if (wait->injected &&
		   wait->group_ends == robust_group_ends(current)) {
		sigdelset(&current->pending.signal, SIGKILL);
	}
	recalc_sigpending();
	unlock_task_sighand(current, &flags);
}

/* Make an access that may have to wait; nonzero if it fails for good. */
#define robust_access(wait, access)					\
({									\
	struct robust_wait *__wait = (wait);				\
	int __failed;							\
									\
	do {								\
		robust_wait_begin(__wait);				\
		__failed = (access);					\
	} while (unlikely(__failed) && robust_wait_again(__wait));	\
	__failed;							\
})

/* Make an access that must not wait; nonzero if it fails or would have to. */
#define robust_access_nowait(access)					\
({									\
	int __failed;							\
									\
	pagefault_disable();						\
	__failed = (access);						\
	pagefault_enable();						\
	__failed;							\
})

/* Read a word of the list, as wide as the pointers of the list. */
static __always_inline int robust_get(bool compat, unsigned long *value,
				      void __user *from)
{
	compat_ulong_t compat_value;

	if (!compat)
		return get_user(*value, (unsigned long __user *)from);

	if (get_user(compat_value, (compat_ulong_t __user *)from))
		return -EFAULT;
	*value = compat_value;
	return 0;
}

static noinline int robust_read_wait(bool compat, struct robust_wait *wait,
				     unsigned long *value, void __user *from)
{
	return robust_access(wait, robust_get(compat, value, from));
}

static __always_inline int robust_read(bool compat, struct robust_wait *wait,
				       unsigned long *value, void __user *from)
{
	if (likely(!robust_access_nowait(robust_get(compat, value, from))))
		return 0;
	return robust_read_wait(compat, wait, value, from);
}

/* A pointer of the list's width as the kernel uses it, with its PI bit */
static __always_inline unsigned long robust_pointer(bool compat,
						    unsigned long value)
{
	return compat ? (unsigned long)compat_ptr(value) : value;
}

static __always_inline unsigned long robust_link(unsigned long pointer)
{
	return pointer & ~1UL;
}

static __always_inline bool robust_is_pi(unsigned long pointer)
{
	return pointer & 1;
}

/* Any offset is taken: the sum may wrap, and then points elsewhere. */
static u32 __user *robust_word(const struct robust_walk *walk,
			       unsigned long pointer)
{
	return (u32 __user *)robust_pointer(robust_compat(walk),
					    robust_link(pointer) +
					    walk->list->futex_offset);
}

/* Whether a futex word is the thread's. */
static __always_inline bool robust_held(const struct robust_list_info *list,
					u32 value)
{
	return (value & FUTEX_TID_MASK) == list->tid;
}

/* What a futex word of the thread becomes. */
static __always_inline u32 robust_marked(u32 value)
{
	return (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
}

/* Nonzero on failure. -EINVAL is none: the waiter is that of a PI futex. */
static int robust_wake_word(u32 __user *word, unsigned int *woken)
{
	int ret = futex_wake(word, FLAGS_SHARED, 1, FUTEX_BITSET_MATCH_ANY);

	if (ret > 0 && woken)
		*woken += ret;
	return ret < 0 && ret != -EINVAL;
}

/* Wake a waiter of each word that futex_wake_words() has left. */
static noinline void robust_wake_each(u32 __user **words, unsigned int nr,
				      unsigned int *woken,
				      struct robust_wait *wait)
{
	unsigned int i;
	int ret;

	for (i = 0; i < nr; i++) {
		if (likely(!robust_access(wait, robust_wake_word(words[i], woken))))
			continue;
		ret = futex_wake_mapped(words[i]);
		if (ret > 0 && woken)
			*woken += ret;
	}
}

/*
 * Wake a waiter of each word that was marked since the last time, and had
 * FUTEX_WAITERS. A PI futex is not among them: it is handed over to its waiter by
 * way of the thread's PI state, after the walk.
 *
 * No waiter is missed: one that goes to sleep is counted in its hash bucket
 * before it reads the word, with a full barrier between, and another full
 * barrier in futex_wake_words() stands between the exchanges that marked the
 * words and the reads of those counts. So it is either counted in time or finds
 * the word changed and does not sleep.
 *
 * If the key of a word depends on its page, the page is waited for as for the
 * mark. If futex_wake() fails, no waiter was woken, and it can be repeated. When
 * the limit has expired it fails even if the page is present, where that cannot
 * be found without the mmap lock; most waiters are found by the mapping then.
 */
static void robust_wake(struct robust_walk *walk)
{
	unsigned int left;

	if (robust_traced(walk))
		left = futex_wake_words_counted(walk->words, walk->nr_words,
						&walk->woken);
	else
		left = futex_wake_words(walk->words, walk->nr_words);
	if (unlikely(left))
		robust_wake_each(walk->words, left, &walk->woken, walk->wait);
	walk->nr_words = 0;
}

/* What became of the futex word of a lock. */
enum robust_result {
	ROBUST_MARKED,		/* it was the thread's and is marked now */
	ROBUST_NOT_HELD,	/* it stays as it is: it is not the thread's */
	ROBUST_FAULT,		/* it cannot be read or cannot be written */
};

static int robust_get_word(struct robust_walk *walk, u32 *value,
			   u32 __user *word)
{
	if (likely(!robust_access_nowait(get_user(*value, word))))
		return 0;
	return robust_access(walk->wait, get_user(*value, word));
}

static int robust_cmpxchg_word(struct robust_walk *walk, u32 *value,
			       u32 __user *word, u32 old, u32 new)
{
	int failed;

	failed = robust_access_nowait(futex_atomic_cmpxchg_inatomic(value, word,
								    old, new));
	if (unlikely(failed))
		failed = robust_access(walk->wait,
				       futex_atomic_cmpxchg_inuser(value, word,
								   old, new));
	return failed;
}

/*
 * Replace the thread's TID in *@word by FUTEX_OWNER_DIED. Unless the word
 * cannot be reached, *@value is what it held.
 *
 * The exchange fails if another thread changes the word, as a waiter may do to
 * set FUTEX_WAITERS. Each repetition counts as a visit, so that a thread that
 * changes the word continuously cannot block the walk.
 */
static enum robust_result robust_mark(struct robust_walk *walk,
				      u32 __user *word, u32 *value)
{
	u32 expected;

	if (!IS_ALIGNED((unsigned long)word, sizeof(*word)) ||
	    robust_get_word(walk, value, word))
		return ROBUST_FAULT;

	while (robust_held(walk->list, *value) && walk->visits < ROBUST_VISIT_LIMIT) {
		expected = *value;
		if (robust_cmpxchg_word(walk, value, word, expected,
					robust_marked(expected)))
			return ROBUST_FAULT;
		if (*value == expected)
			return ROBUST_MARKED;
		walk->visits++;
		cond_resched();
	}
	return ROBUST_NOT_HELD;
}

/*
 * Record for the trace events what became of a lock, and make the wakeup that is
 * due, if there is one: the events report whether a waiter was woken.
 *
 * The file is looked up before the wakeup, as the thread that is woken may unmap the
 * lock. A thread that shares the memory and takes the lock without a wakeup may be
 * faster; the event then has the file that is mapped there now.
 */
static void robust_record(struct robust_walk *walk, unsigned long pointer,
			  u32 __user *word, u32 value,
			  enum robust_result result, bool pending)
{
	struct robust_walk_record *record = walk->record;
	struct robust_lock_record lock = {
		.walk = record,
		.address = (unsigned long)word,
		.value = value,
		.pending = pending,
		.pi = robust_is_pi(pointer),
	};
	bool due = walk->nr_words;

	if (result == ROBUST_FAULT)
		record->faults++;
	else if (result == ROBUST_NOT_HELD)
		record->not_held++;
	else
		record->marked++;

	if (result != ROBUST_MARKED && !due)
		return;

	robust_trace_locate(&lock);
	if (due) {
		lock.woken = walk->woken;
		robust_wake(walk);
		lock.woken = walk->woken - lock.woken;
	}
	if (result == ROBUST_MARKED)
		robust_trace_mark(&lock);
	else
		robust_trace_wake(&lock);
}

/*
 * Handle one entry of any kind, and advance to the next one.
 *
 * Return: whether there is a next one
 */
static bool robust_step(struct robust_walk *walk)
{
	unsigned long pointer = walk->next, next = 0;
	u32 __user *word = robust_word(walk, pointer);
	bool compat = robust_compat(walk);
	enum robust_result result;
	u32 value = 0;
	int ret;

	/* A fault may take long. No waiter has to wait for the page of another lock. */
	if (walk->nr_words)
		robust_wake(walk);

	/*
	 * Read the link first: as soon as the lock is marked, another thread
	 * may take it, and the link is that thread's to write.
	 */
	ret = robust_read(compat, walk->wait, &next,
			  (void __user *)robust_link(pointer));

	if (robust_link(pointer) == robust_link(walk->list->pending)) {
		walk->misses++;
	} else {
		result = robust_mark(walk, word, &value);
		if (result != ROBUST_MARKED)
			walk->misses++;
		else if (value & FUTEX_WAITERS && !robust_is_pi(pointer))
			walk->words[walk->nr_words++] = word;

		if (robust_traced(walk))
			robust_record(walk, pointer, word, value, result, false);
	}

	walk->next = robust_pointer(compat, next);
	walk->visits++;
	return !ret;
}

#ifdef unsafe_futex_atomic_cmpxchg
#define robust_window_begin(ptr, size)	user_access_begin(ptr, size)
#define robust_window_end()		user_access_end()
#define robust_window_checks		false
#define robust_window_get(x, ptr, label)				\
	unsafe_get_user(x, ptr, label)
#define robust_window_exchange(ptr, oldp, new, label)			\
	unsafe_futex_atomic_cmpxchg(ptr, oldp, new, label)
#else
/*
 * An architecture that cannot exchange a word within a user access window uses
 * single accesses, each of which checks its address and prevents speculation
 * beyond it.
 */
#define robust_window_begin(ptr, size)	true
#define robust_window_end()		do { } while (0)
#define robust_window_checks		true
#define robust_window_get(x, ptr, label)				\
do {									\
	if (get_user(x, ptr))						\
		goto label;						\
} while (0)
#define robust_window_exchange(ptr, oldp, new, label)			\
({									\
	u32 *__oldp = (oldp), __expected = *__oldp;			\
									\
	if (futex_atomic_cmpxchg_inatomic(__oldp, ptr, __expected, new)) \
		goto label;						\
	*__oldp == __expected;						\
})
#endif

/* Replace a word that is @old, and go to @differs if it is not. */
#ifdef unsafe_futex_test_cmpxchg
#define robust_window_cmpxchg(ptr, old, new, differs, label)		\
	unsafe_futex_test_cmpxchg(ptr, old, new, differs, label)
#else
#define robust_window_cmpxchg(ptr, old, new, differs, label)		\
do {									\
	u32 __found, __old = (old);					\
									\
	robust_window_get(__found, ptr, label);				\
	if (__found != __old ||						\
	    !robust_window_exchange(ptr, &__found, new, label))		\
		goto differs;						\
} while (0)
#endif

/*
 * Links are counted in units of four bytes, the alignment of futex words. A
 * misaligned link belongs to a misaligned word. Its low bits are moved to the
 * top, which makes the number larger than that of any aligned link.
 */
static __always_inline unsigned long robust_units(unsigned long bytes)
{
	return bytes >> 2 | bytes << (BITS_PER_LONG - 2);
}

/*
 * Compute which links the window may use: those from @link_base on, @span of
 * them, for which link and word are both in user memory, and the sum of link
 * and offset does not wrap. One comparison, and one mask against speculation,
 * is then sufficient for both. If each access checks its address, only the
 * alignment of the words has to be checked here.
 */
static __always_inline void robust_set_bounds(struct robust_list_info *list,
					      bool compat)
{
	unsigned long limit = TASK_SIZE_MAX;
	unsigned long reach = sizeof(unsigned long);
	long offset = list->futex_offset;
	unsigned long compat_limit;

	if (robust_window_checks) {
		list->span = IS_ALIGNED(offset, sizeof(u32));
		return;
	}

	if (compat) {
		compat_limit = (unsigned long)compat_ptr(U32_MAX);
		limit = min(limit, compat_limit);
		offset = (compat_long_t)offset;
	}

	/*
	 * Neither a link nor a word at NULL is among them. The sums cannot wrap,
	 * as @offset has a sign.
	 */
	if (offset < 0) {
		list->link_base = sizeof(u32) - offset;
	} else {
		list->link_base = sizeof(u32);
		reach = max(reach, offset + sizeof(u32));
	}
	list->word_base = list->link_base + offset;
	list->span = 0;

	reach += list->link_base;
	if (IS_ALIGNED(offset, sizeof(u32)) && reach <= limit)
		list->span = (limit - reach) / 4 + 1;
}

/*
 * The index of a link among those that the window may use, or one that is not
 * below @span. Where each access checks its address, all such links have the
 * same.
 */
static __always_inline unsigned long
robust_index(const struct robust_list_info *list, unsigned long link)
{
	if (robust_window_checks)
		return link && IS_ALIGNED(link, sizeof(u32)) ? 0 : ULONG_MAX;

	return robust_units(link - list->link_base);
}

/*
 * Mark consecutive locks, as long as their words carry the TID and the bits
 * @flags, which are 0 or FUTEX_WAITERS, and no other bit. Stop after @steps of
 * them, or at an entry of another kind: the end of the list, the pending lock, a
 * bad pointer, a word with any other value, or a page that cannot be accessed at
 * once, for which *@faulted is set. The lock of such an entry is not changed, and
 * *@next points to it.
 *
 * With FUTEX_WAITERS the word goes to @words, at *@nr_words, unless the lock is
 * a PI futex.
 *
 * The caller has opened a user access window. Page faults are off: the waiters
 * of what is marked here are not woken yet, so nothing in here may sleep.
 *
 * The loop is executed for each lock. For this reason @compat and @flags are
 * constants, and link and PI bit are extracted from a pointer only where they
 * are used.
 *
 * The word is read before the exchange. Not all memory that can be read has
 * atomic operations, on x86 an exchange that fails writes the word back, and
 * only a plain load survives a memory error.
 *
 * Return: how many locks were marked
 */
static __always_inline unsigned int
robust_run(const struct robust_list_info *list, bool compat, u32 flags,
	   unsigned long *next, unsigned int steps, bool *faulted,
	   u32 __user **words, unsigned int *nr_words)
{
	const unsigned long pending = robust_link(list->pending);
	const unsigned long span = robust_window_checks ? 1 : list->span;
	unsigned int left = steps, nr = *nr_words;
	unsigned long pointer = *next;

	for (; left; left--) {
		unsigned long link = robust_link(pointer);
		unsigned long index = robust_index(list, link);
		unsigned long entry, behind;
		compat_uptr_t compat_behind;
		u32 __user *word;

		if (unlikely(index >= span))
			break;
		if (unlikely(link == list->end))
			break;
		if (robust_window_checks) {
			entry = link;
			word = (u32 __user *)robust_pointer(compat, link +
							    list->futex_offset);
		} else {
			index = array_index_nospec(index, span) * 4;
			entry = list->link_base + index;
			word = (u32 __user *)(list->word_base + index);
		}

		if (compat) {
			robust_window_get(compat_behind,
					  (compat_uptr_t __user *)entry, fault);
			behind = robust_pointer(true, compat_behind);
		} else {
			robust_window_get(behind, (unsigned long __user *)entry,
					  fault);
		}
		/* Separate from the tests above: the compiler merges them into a longer one. */
		if (unlikely(link == pending))
			break;
		robust_window_cmpxchg(word, list->tid | flags,
				      FUTEX_OWNER_DIED | flags, differs, fault);
		if (flags && !robust_is_pi(pointer))
			words[nr++] = word;
		pointer = behind;
	}
differs:
	*faulted = false;
out:
	*nr_words = nr;
	*next = pointer;
	return steps - left;
fault:
	*faulted = true;
	goto out;
}

/*
 * Mark what can be marked in the window, in alternating runs of locks with
 * FUTEX_WAITERS and locks without it.
 */
static __always_inline unsigned int
robust_runs(const struct robust_list_info *list, bool compat,
	    unsigned long *next, unsigned int steps,
	    u32 __user **words, unsigned int *nr_words)
{
	unsigned int done = 0, before;
	bool faulted;

	pagefault_disable();
	if (!robust_window_begin(NULL, TASK_SIZE_MAX))
		goto out;

	do {
		before = done;
		done += robust_run(list, compat, FUTEX_WAITERS, next,
				   steps - done, &faulted, words, nr_words);
		if (faulted || robust_link(*next) == list->end)
			break;
		done += robust_run(list, compat, 0, next, steps - done,
				   &faulted, NULL, nr_words);
	} while (!faulted && done < steps && done != before);

	robust_window_end();
out:
	pagefault_enable();
	return done;
}

static noinline void robust_window_native(struct robust_walk *walk,
					  unsigned int steps)
{
	walk->visits += robust_runs(walk->list, false, &walk->next, steps,
				    walk->words, &walk->nr_words);
}

static noinline void robust_window_compat(struct robust_walk *walk,
					  unsigned int steps)
{
	walk->visits += robust_runs(walk->list, true, &walk->next, steps,
				    walk->words, &walk->nr_words);
}

static void robust_window(struct robust_walk *walk, unsigned int steps)
{
	if (!walk->list->span)
		return;
	if (robust_compat(walk))
		robust_window_compat(walk, steps);
	else
		robust_window_native(walk, steps);
}

/*
 * Whether there is another entry, and no limit is reached. NULL is not an
 * entry: the list is broken there.
 */
static bool robust_more(const struct robust_walk *walk)
{
	return robust_link(walk->next) &&
	       robust_link(walk->next) != walk->list->end &&
	       walk->misses < ROBUST_LIST_LIMIT &&
	       walk->visits < ROBUST_VISIT_LIMIT;
}

/*
 * Walk to the end of the list in batches: as far as possible in the window, then
 * a single step.
 *
 * Return: false if it ended at a link that cannot be read
 */
static bool robust_walk_entries(struct robust_walk *walk)
{
	bool more = true;
	unsigned int stop;

	while (more && robust_more(walk)) {
		stop = walk->visits + ROBUST_BATCH;
		do {
			robust_window(walk, stop - walk->visits);
			if (robust_more(walk) && walk->visits < stop)
				more = robust_step(walk);
		} while (more && robust_more(walk) && walk->visits < stop);

		if (walk->nr_words)
			robust_wake(walk);
		if (walk->visits >= stop)
			cond_resched();
	}
	return more;
}

/*
 * Mark the lock that was being locked or unlocked. If the thread does not hold
 * it, a wakeup may be missing, see [1] and [7] above. Of other threads, only an
 * owner that finds FUTEX_WAITERS at its unlock makes that wakeup.
 */
static void robust_release_pending(struct robust_walk *walk)
{
	unsigned long pointer = walk->list->pending;
	u32 __user *word = robust_word(walk, pointer);
	enum robust_result result;
	bool wake = false;
	u32 value = 0;

	walk->visits = 0;
	result = robust_mark(walk, word, &value);
	switch (result) {
	case ROBUST_MARKED:
		wake = value & FUTEX_WAITERS;
		break;
	case ROBUST_NOT_HELD:
		wake = !(value & FUTEX_TID_MASK) || !(value & FUTEX_WAITERS);
		break;
	case ROBUST_FAULT:
		break;
	}

	if (wake && !robust_is_pi(pointer))
		walk->words[walk->nr_words++] = word;
	if (robust_traced(walk))
		robust_record(walk, pointer, word, value, result, true);
	if (walk->nr_words)
		robust_wake(walk);
}

/*
 * The TID in the namespace of the thread. A task has its own struct pid for as
 * long as it runs.
 */
static __always_inline u32 robust_tid(void)
{
	struct pid *pid = task_pid(current);

	return pid->numbers[pid->level].nr;
}

/* The three fields of a head, each as wide as the pointers of the list */
static __always_inline void __user *robust_field(bool compat, unsigned long head,
						 int i)
{
	return (void __user *)head + i * (compat ? sizeof(compat_ulong_t) :
					  sizeof(unsigned long));
}

/*
 * Whether the lock of list_op_pending was released, though list_op_pending still
 * leads to it. @head is a parameter, as the pointer in the task is NULL by now.
 */
static noinline bool robust_pending_done(bool compat, unsigned long head)
{
	void __user *field = robust_field(compat, head, 2);
	unsigned long pending;

	/* There is nothing to decide if the thread, or the kernel for it, has cleared it. */
	if (!robust_access_nowait(robust_get(compat, &pending, field)) &&
	    !robust_link(pending))
		return false;
	return futex_pending_done((unsigned long)field, compat);
}

/*
 * Read the fields of a head without waiting for anything.
 *
 * Return: 0, or -EFAULT if one cannot be read, or not at once
 */
static __always_inline int robust_read_head(unsigned long head, bool compat,
					    unsigned long *first,
					    unsigned long *offset,
					    unsigned long *pending)
{
	compat_ulong_t __user *compat_at = (compat_ulong_t __user *)head;
	unsigned long __user *at = (unsigned long __user *)head;
	compat_ulong_t compat_first, compat_offset, compat_pending;

	pagefault_disable();
	if (!robust_window_begin((void __user *)head, compat ?
				 sizeof(struct compat_robust_list_head) :
				 sizeof(struct robust_list_head)))
		goto out;

	if (compat) {
		robust_window_get(compat_first, compat_at, fault);
		robust_window_get(compat_offset, compat_at + 1, fault);
		robust_window_get(compat_pending, compat_at + 2, fault);
		*first = compat_first;
		*offset = compat_offset;
		*pending = compat_pending;
	} else {
		robust_window_get(*first, at, fault);
		robust_window_get(*offset, at + 1, fault);
		robust_window_get(*pending, at + 2, fault);
	}
	robust_window_end();
	pagefault_enable();

	*first = robust_pointer(compat, *first);
	*pending = robust_pointer(compat, *pending);
	return 0;

fault:
	robust_window_end();
out:
	pagefault_enable();
	return -EFAULT;
}

/*
 * The fast path: mark locks within one user access window, and without a struct
 * robust_walk. Most threads that die with locks hold few, in pages that are
 * present, and hardly any lock has a waiter: there is room for a single word.
 */
static __always_inline unsigned int
robust_walk_at_hand(const struct robust_list_info *list, bool compat,
		    unsigned long *next, u32 __user **word)
{
	unsigned int nr_words = 0, done = 0;
	bool faulted;

	pagefault_disable();
	if (robust_window_begin(NULL, TASK_SIZE_MAX)) {
		done = robust_run(list, compat, 0, next, ROBUST_BATCH, &faulted,
				  NULL, &nr_words);
		if (!faulted && robust_link(*next) != list->end)
			done += robust_run(list, compat, FUTEX_WAITERS, next, 1,
					   &faulted, word, &nr_words);
		robust_window_end();
	}
	pagefault_enable();
	return done;
}

/*
 * Read the head field by field, and wait for each. A pointer that cannot be
 * read leads to no lock. Without the offset no futex word can be found.
 *
 * Return: whether all of them could be read, or there is no list
 */
static bool robust_read_fields(struct robust_list_info *list, bool compat,
			       struct robust_wait *wait)
{
	bool readable = true;

	if (!list->end)
		return true;
	/* No wait before this: its page may be what the release waited for. */
	if (robust_pending_done(compat, list->end)) {
		list->pending = 0;
	} else if (robust_read(compat, wait, &list->pending,
			       robust_field(compat, list->end, 2))) {
		list->pending = 0;
		readable = false;
	}
	if (robust_read(compat, wait, &list->first,
			robust_field(compat, list->end, 0))) {
		list->first = 0;
		readable = false;
	}
	if (robust_read(compat, wait, &list->futex_offset,
			robust_field(compat, list->end, 1))) {
		list->first = 0;
		list->pending = 0;
		readable = false;
	}

	list->first = robust_pointer(compat, list->first);
	list->pending = robust_pointer(compat, list->pending);
	robust_set_bounds(list, compat);
	list->tid = robust_tid();
	return readable;
}

/* Why the walk of a list ended, for its trace event. */
static enum robust_end robust_end_reason(const struct robust_walk *walk)
{
	if (walk->record->unreadable)
		return walk->wait->armed && READ_ONCE(walk->wait->expired) ?
		       ROBUST_END_TIME : ROBUST_END_LINK;
	if (robust_link(walk->next) == walk->list->end)
		return ROBUST_END_LIST;
	if (!robust_link(walk->next))
		return ROBUST_END_NULL;
	if (walk->misses >= ROBUST_LIST_LIMIT)
		return ROBUST_END_TRIES;
	return ROBUST_END_VISITS;
}

/*
 * Walk the list from @next on, where @visits locks were marked before. If
 * @record is not NULL, it gets the data for the trace event of the walk.
 */
static noinline void robust_walk_on(const struct robust_list_info *list,
				    bool compat, unsigned long next,
				    unsigned int visits,
				    struct robust_wait *wait,
				    struct robust_walk_record *record)
{
	u32 __user *words[ROBUST_BATCH];
	struct robust_walk walk = {
		.list = list,
		.compat = compat,
		.wait = wait,
		.next = next,
		.visits = visits,
		.words = words,
		.record = record,
	};
	bool readable;

	readable = robust_walk_entries(&walk);
	if (robust_traced(&walk)) {
		record->unreadable |= !readable;
		record->reason = robust_end_reason(&walk);
		record->visits = walk.visits;
	}
	if (robust_link(list->pending))
		robust_release_pending(&walk);
	if (robust_traced(&walk))
		record->woken = walk.woken;
}

/* Walk the list entry by entry, with trace events. */
static void robust_walk_traced(struct robust_list_info *list, bool compat,
			       bool readable, struct robust_wait *wait)
{
	struct robust_walk_record record = {
		.head = list->end,
		.tid = list->tid,
		.compat = compat,
		.unreadable = !readable,
	};

	if (!list->end)
		return;
	if (readable && robust_link(list->first) == list->end &&
	    !robust_link(list->pending))
		return;

	/* The window is not used. */
	list->span = 0;
	robust_trace_begin(&record);
	robust_walk_on(list, compat, list->first, 0, wait, &record);
	robust_trace_end(&record);
}

/* Mark a few more locks, and wake the waiters of these and of @word. */
static __always_inline unsigned int
robust_walk_few(const struct robust_list_info *list, bool compat,
		unsigned long *next, u32 __user *word, struct robust_wait *wait)
{
	u32 __user *words[ROBUST_FEW];
	unsigned int nr_words = 0, done;

	words[nr_words++] = word;
	done = robust_runs(list, compat, next, ROBUST_FEW - 1, words, &nr_words);
	nr_words = futex_wake_words(words, nr_words);
	if (unlikely(nr_words))
		robust_wake_each(words, nr_words, NULL, wait);
	return done;
}

/* Walk a list that is not empty. */
static __always_inline void robust_walk(bool compat, unsigned long head,
					unsigned long first,
					unsigned long offset,
					unsigned long pending)
{
	/* All fields: the compiler may call memset() if one is left out. */
	struct robust_list_info list = {
		.end = head,
		.first = first,
		.futex_offset = offset,
		.pending = pending,
		.link_base = 0,
		.word_base = 0,
		.span = 0,
		.tid = robust_tid(),
	};
	unsigned long next = first;
	u32 __user *word = NULL;
	unsigned int visits = 0;
	bool done = false;

	if (unlikely(robust_link(pending)) && robust_pending_done(compat, head)) {
		list.pending = 0;
		pending = 0;
	}

	robust_set_bounds(&list, compat);
	if (likely(list.span)) {
		visits = robust_walk_at_hand(&list, compat, &next, &word);
		done = robust_link(next) == head && !robust_link(pending);
	}

	if (unlikely(!done || (word && futex_wake_word(word)))) {
		/* A copy, so that the original can be in registers */
		struct robust_list_info copy = list;
		struct robust_wait wait = { .armed = false };

		if (done) {
			robust_wake_each(&word, 1, NULL, &wait);
		} else if (word) {
			visits += robust_walk_few(&copy, compat, &next, word, &wait);
			done = robust_link(next) == head && !robust_link(pending);
		}
		if (!done)
			robust_walk_on(&copy, compat, next, visits, &wait, NULL);
		robust_wait_end(&wait);
	}
}

static noinline void robust_walk_native(unsigned long head, unsigned long first,
					unsigned long offset,
					unsigned long pending)
{
	robust_walk(false, head, first, offset, pending);
}

static noinline void robust_walk_compat(unsigned long head, unsigned long first,
					unsigned long offset,
					unsigned long pending)
{
	robust_walk(true, head, first, offset, pending);
}

/*
 * Walk both lists of a thread that has two, or a list with a head that cannot be
 * read at once, or any list that is traced.
 *
 * Both heads are read before anything is marked: once the locks are marked, other
 * threads may take this one as gone and reuse the memory of the heads.
 */
static noinline void robust_walk_lists(unsigned long head,
				       unsigned long compat_head)
{
	struct robust_list_info compat_list = { .end = compat_head };
	struct robust_list_info list = { .end = head };
	struct robust_wait wait = { .armed = false };
	bool readable, compat_readable = true;

	readable = robust_read_fields(&list, false, &wait);
	if (IS_ENABLED(CONFIG_COMPAT))
		compat_readable = robust_read_fields(&compat_list, true, &wait);

	if (robust_tracing()) {
		robust_walk_traced(&list, false, readable, &wait);
		if (IS_ENABLED(CONFIG_COMPAT))
			robust_walk_traced(&compat_list, true, compat_readable,
					   &wait);
	} else {
		robust_walk_on(&list, false, list.first, 0, &wait, NULL);
		if (IS_ENABLED(CONFIG_COMPAT))
			robust_walk_on(&compat_list, true, compat_list.first, 0,
				       &wait, NULL);
	}
	robust_wait_end(&wait);
}

/*
 * Few threads die with a lock held, but a C library with robust mutexes
 * registers a list for each thread. Return early if the list is empty.
 */
static __always_inline void robust_exit(unsigned long head, bool compat)
{
	unsigned long first, offset, pending;

	if (unlikely(robust_read_head(head, compat, &first, &offset, &pending)))
		robust_walk_lists(compat ? 0 : head, compat ? head : 0);
	else if (likely(robust_link(first) == head && !robust_link(pending)))
		return;
	else if (compat)
		robust_walk_compat(head, first, offset, pending);
	else
		robust_walk_native(head, first, offset, pending);
}

#ifdef CONFIG_COMPAT
/* A 32-bit program has this list alone, and hardly any program has both. */
static noinline void robust_exit_compat(unsigned long head,
					unsigned long compat_head)
{
	if (likely(!head) && !robust_tracing())
		robust_exit(compat_head, true);
	else
		robust_walk_lists(head, compat_head);
}
#endif

/**
 * exit_robust_list() - Mark the locks that this thread leaves behind
 * @tsk:	the current task, which has registered a list
 *
 * Walks the lists of held locks, which are not registered any more then. Every
 * lock that the thread held and the kernel could write is marked with
 * FUTEX_OWNER_DIED, and a waiter of each that is not a PI futex is woken.
 *
 * Context: Process context, of a task that is about to give up its mm for good
 * but still has it, and still has the TID that its locks carry. May sleep.
 */
void exit_robust_list(struct task_struct *tsk)
{
	unsigned long head = (unsigned long)tsk->robust_list;
#ifdef CONFIG_COMPAT
	unsigned long compat_head = (unsigned long)tsk->compat_robust_list;
#endif

	WRITE_ONCE(tsk->robust_list, NULL);
#ifdef CONFIG_COMPAT
	if (unlikely(compat_head)) {
		WRITE_ONCE(tsk->compat_robust_list, NULL);
		robust_exit_compat(head, compat_head);
		return;
	}
#endif
	if (robust_tracing())
		robust_walk_lists(head, 0);
	else
		robust_exit(head, false);
}
