// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Robust futexes: locks that outlive the thread that holds them.
 *
 * A thread keeps a list of the locks it holds in its own memory, and tells
 * the kernel once where the list begins. Taking and releasing a lock then
 * costs no system call. When the thread dies, the kernel walks the list: each
 * futex word that still carries the thread's TID gets FUTEX_OWNER_DIED in its
 * place, and one waiter is woken to find it.
 *
 * The thread may die between any two instructions. These are the steps that
 * it takes in user space, and what the walk meets if they end after each:
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
 * [7]		The word is not the thread's any more, but the wakeup that it
 *		owes to a waiter was not made: make it.
 * [1]		The thread may have slept in [2], and have been woken to take
 *		the lock. It dies with the wakeup used up and nothing taken, so
 *		the wakeup has to be passed on: make it. The same holds if a
 *		third thread took the lock meanwhile without FUTEX_WAITERS in
 *		the word: it will wake nobody, and those who slept before are
 *		waiting still. With FUTEX_WAITERS, it will.
 *
 * From [7] and [1] the kernel cannot tell whether a wakeup is owed. One too
 * many is harmless, since whoever waits on a futex looks at the word again.
 *
 * Nothing in user memory is trusted. Any pointer may be any number, the list
 * may have no end, and other threads may rewrite all of it during the walk.
 * What holds nevertheless:
 *
 *  - Memory is reached through the accessors for user memory alone, and a word
 *    is written only by an atomic exchange that finds the thread's TID in it.
 *  - A lock that cannot be reached costs that lock, not those after it: the
 *    walk goes on as long as it knows the next entry.
 *  - The walk ends. Marking a lock takes the TID from it, so going round in
 *    circles soon means entries that have nothing to mark, and the walk takes
 *    only ROBUST_LIST_LIMIT of these. Other threads can put the TID back all
 *    the time; against them stands a limit on visits of any kind, far beyond
 *    the number of locks that anyone holds.
 *
 * What the interface cannot prevent: after [7] the lock may be gone and its
 * memory in other use, and if the number that is there now equals the TID, it
 * is taken for a lock and changed. A thread has to clear list_op_pending before
 * it lets go of the memory; but another thread may unmap and map it anew.
 *
 * On a 64-bit kernel a thread can have two lists, one registered by each kind
 * of system call. The words of the 32-bit one are half as wide; that, and the
 * arithmetic modulo 2^32, is all that the walk has to know of it.
 */

#include <linux/compat.h>
#include <linux/nospec.h>
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/syscalls.h>
#include <linux/timer.h>

#include "futex.h"

/*
 * A walk ends after about so many steps, whatever it finds, so that its time is
 * bounded even if other threads rewrite the list and the words as it goes.
 */
#define ROBUST_VISIT_LIMIT	(16 * 1024 * 1024)

/*
 * The walk wakes waiters and lets other tasks run each time it has made so many
 * steps. Until then the words whose waiters are to be woken are kept on the
 * stack, where more of them would take too much of it.
 */
#define ROBUST_BATCH		64

/*
 * For how long the walk of a task that dies waits for pages in all, counted
 * from the first one that was not at hand. A list of 2048 locks with its entry
 * and its word in a page of its own each, read from a disk in 10 ms, needs 41
 * seconds. A task that waits for the owner of a PI futex to exit does so
 * uninterruptibly: twice the limit is what the hung task detector allows by
 * default.
 *
 * A task in an exec is not dying before it is killed, and a kill can end its
 * wait at any time. There the time is counted from the kill.
 */
#define ROBUST_WAIT_LIMIT	(60 * HZ)

/**
 * struct robust_entry - A pointer to a lock as it is found in user memory
 * @link:	the lock's list entry, a struct robust_list or compat_robust_list
 * @pi:		whether the lock is a PI futex
 */
struct robust_entry {
	void __user *link;
	bool pi;
};

/**
 * struct robust_wait - What a walk needs in order to wait for pages
 * @timer:	ends the waiting, see robust_wait_expire()
 * @task:	the task that walks
 * @task_flags:	what no_notify_signal_restore() takes
 * @armed:	whether the time is being counted; if not, none of the other
 *		fields is set
 * @expired:	whether the time is over
 * @injected:	whether the timer made the fatal signal that is pending then
 * @group_exit:	whether the thread group was exiting when it did
 * @deferred:	whether a fatal signal is out of sight
 */
struct robust_wait {
	struct timer_list timer;
	struct task_struct *task;
	unsigned int task_flags;
	bool armed;
	bool expired;
	bool injected;
	bool group_exit;
	bool deferred;
};

/**
 * struct robust_walk - The state of a walk along a list of locks
 * @end:		the list field of the registered head: a link to it ends
 *			the list
 * @compat:		whether the list is a 32-bit one
 * @wait:		how long it may wait for pages, shared by both lists
 * @futex_offset:	distance from a list entry to its futex word
 * @entry:		the entry to visit next
 * @pending:		the lock of list_op_pending; its link is NULL if none
 * @link_base:		the lowest link that is safe, see robust_set_bounds()
 * @word_base:		the word that belongs to it
 * @span:		how many links are safe, from there upwards
 * @tid:		the thread's TID, as its futex words carry it
 * @misses:		entries seen that turned out to be no lock of the thread
 * @visits:		steps of any kind made so far
 * @nr_words:		the number of @words
 * @words:		marked words with FUTEX_WAITERS that nobody was woken of yet,
 *			at most ROBUST_BATCH
 */
struct robust_walk {
	void __user *end;
	bool compat;
	struct robust_wait *wait;
	unsigned long futex_offset;
	struct robust_entry entry;
	struct robust_entry pending;
	unsigned long link_base;
	unsigned long word_base;
	unsigned long span;
	u32 tid;
	unsigned int misses;
	unsigned int visits;
	unsigned int nr_words;
	u32 __user **words;
};

/**
 * sys_set_robust_list() - Register the list of locks held by this thread
 * @head:	user address of the head of the list
 * @len:	size of the head, which tells its version
 *
 * The kernel stores the address and reads the head when the thread exits. It
 * is not looked at before, so @head may be anything.
 *
 * Return: 0, or -EINVAL if the kernel knows no head of this size
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
 * Find out which list the thread @pid registered.
 *
 * Between the check of the credentials and the read of the pointer the thread
 * may exec a program that the caller must learn nothing about. exec forgets
 * the list of the old program before it takes exec_update_lock, and the new
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
 * sys_get_robust_list() - Tell the list of locks that a thread registered
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

/*
 * The time for pages is over. A fatal signal makes each wait of a fault end,
 * this one and those to come, and leaves alone the faults that do not wait.
 */
static void robust_wait_expire(struct timer_list *timer)
{
	struct robust_wait *wait = from_timer(wait, timer, timer);
	struct task_struct *task = wait->task;
	unsigned long flags;

	/* The task ends the timer before it gives up its signal handlers. */
	if (WARN_ON_ONCE(!lock_task_sighand(task, &flags)))
		return;

	wait->expired = true;
	wait->injected = !sigismember(&task->pending.signal, SIGKILL);
	wait->group_exit = task->signal->flags & SIGNAL_GROUP_EXIT;
	sigaddset(&task->pending.signal, SIGKILL);
	signal_wake_up_state(task, TASK_WAKEKILL);

	unlock_task_sighand(task, &flags);
}

/*
 * Prepare for an access that may have to wait for a page.
 *
 * While a fatal signal is pending a fault gives up where it would have to wait,
 * for a page or for the mmap lock. That serves a task which dies the sooner for
 * it. This one is dying already, and its locks must not depend on whether the
 * process is killed as well, nor on when. So the signal is put out of sight
 * until the walk is over, and everything in here waits as it would without.
 *
 * Where there is a fatal signal, task work that wants to be run looks like one:
 * that is kept out of sight as well.
 *
 * A page that never comes must not keep the process from dying, though, kill
 * or no kill. From the first access of this kind on a timer runs, which makes
 * a fatal signal visible for good, or makes one. While that one is pending, a
 * kill that is meant for this task alone is dropped as a repetition. A task
 * that is exiting has no use for it. A task in an exec has, and gets no signal
 * from the timer, which starts only when it has been killed.
 */
static void robust_wait_begin(struct robust_wait *wait)
{
	unsigned long flags;

	if (!wait->armed) {
		if (!(current->flags & PF_EXITING) &&
		    !fatal_signal_pending(current))
			return;

		wait->task = current;
		wait->task_flags = no_notify_signal_save();
		wait->expired = false;
		wait->injected = false;
		wait->deferred = false;
		wait->armed = true;
		timer_setup_on_stack(&wait->timer, robust_wait_expire, 0);
		mod_timer(&wait->timer, jiffies + ROBUST_WAIT_LIMIT);
	}

	if (likely(!fatal_signal_pending(current)) ||
	    !lock_task_sighand(current, &flags))
		return;

	/* Under the lock, as the signal may be the timer's by now. */
	if (!wait->expired) {
		clear_thread_flag(TIF_SIGPENDING);
		wait->deferred = true;
	}
	unlock_task_sighand(current, &flags);
}

/* An access has failed. Did a fatal signal end it before its time? */
static bool robust_wait_again(const struct robust_wait *wait)
{
	return fatal_signal_pending(current) &&
	       !(wait->armed && READ_ONCE(wait->expired));
}

/*
 * The walk is over: leave the signals as they would be without it.
 *
 * The timer's own signal goes, so that what the rest of the exit has to wait
 * for, such as the flush of a file, does not see it. But if the thread group
 * was killed meanwhile, the signal stands for that kill and stays.
 */
static void robust_wait_end(struct robust_wait *wait)
{
	unsigned long flags;

	if (likely(!wait->armed))
		return;

	del_timer_sync(&wait->timer);
	destroy_timer_on_stack(&wait->timer);
	no_notify_signal_restore(wait->task_flags);

	if (likely(!wait->expired && !wait->deferred) ||
	    !lock_task_sighand(current, &flags))
		return;

	if (wait->injected &&
	    wait->group_exit == !!(current->signal->flags & SIGNAL_GROUP_EXIT))
		sigdelset(&current->pending.signal, SIGKILL);

	/* The flag that was cleared may have been that of the freezer. */
	if (wait->deferred)
		set_thread_flag(TIF_SIGPENDING);
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
	compat_ulong_t narrow;

	if (!compat)
		return get_user(*value, (unsigned long __user *)from);

	if (get_user(narrow, (compat_ulong_t __user *)from))
		return -EFAULT;
	*value = narrow;
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

static __always_inline void __user *robust_pointer(bool compat,
						   unsigned long value)
{
	return compat ? compat_ptr(value) : (void __user *)value;
}

/* Read the pointer to a lock that is stored at @from. */
static __always_inline int robust_fetch(bool compat, struct robust_wait *wait,
					struct robust_entry *entry,
					void __user *from)
{
	unsigned long value;

	if (robust_read(compat, wait, &value, from))
		return -EFAULT;

	entry->link = robust_pointer(compat, value & ~1UL);
	entry->pi = value & 1;
	return 0;
}

/* Any offset is taken: the sum may wrap, and then points elsewhere. */
static u32 __user *robust_word(const struct robust_walk *walk,
			       const struct robust_entry *entry)
{
	return robust_pointer(robust_compat(walk),
			      (unsigned long)entry->link + walk->futex_offset);
}

/* Whether a futex word is the thread's. */
static __always_inline bool robust_held(const struct robust_walk *walk, u32 value)
{
	return (value & FUTEX_TID_MASK) == walk->tid;
}

/* What a futex word of the thread becomes. */
static __always_inline u32 robust_marked(u32 value)
{
	return (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
}

/*
 * Wake a waiter of each word that was marked since the last time.
 *
 * No waiter is missed: one that goes to sleep is counted in its hash bucket
 * before it looks at the word, with a full barrier between, and another full
 * barrier in futex_wake_words() stands between the exchanges that marked the
 * words and the look at those counts. So it is either counted in time or finds
 * the word changed and does not sleep.
 *
 * What became of the mark becomes of the wakeup: a key that takes a page is
 * waited for as the word was. futex_wake() fails before it wakes, if it fails.
 */
static void robust_wake(struct robust_walk *walk)
{
	unsigned int i, left;

	if (!walk->nr_words)
		return;

	left = futex_wake_words(walk->words, walk->nr_words);
	for (i = 0; i < left; i++)
		robust_access(walk->wait,
			      futex_wake(walk->words[i], FLAGS_SHARED, 1,
					 FUTEX_BITSET_MATCH_ANY) < 0);
	walk->nr_words = 0;
}

/*
 * Keep the word of a lock that was marked, and had FUTEX_WAITERS, for
 * robust_wake(). Not that of a PI futex: it is handed over to its waiter by
 * way of the thread's PI state, after the walk.
 */
static __always_inline void robust_queue_wake(struct robust_walk *walk,
					      u32 __user *word, bool pi)
{
	if (!pi)
		walk->words[walk->nr_words++] = word;
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
 * The exchange fails if another thread was faster, which it may rightfully be
 * with FUTEX_WAITERS. Each repetition counts as a visit: a thread that does
 * nothing but change the word must not keep the walk here.
 */
static enum robust_result robust_mark(struct robust_walk *walk,
				      u32 __user *word, u32 *value)
{
	u32 expected;

	if (!IS_ALIGNED((unsigned long)word, sizeof(*word)) ||
	    robust_get_word(walk, value, word))
		return ROBUST_FAULT;

	while (robust_held(walk, *value) && walk->visits < ROBUST_VISIT_LIMIT) {
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
 * Visit one entry, whatever there is to find, and go on to the next.
 *
 * Return: whether there is a next one
 */
static bool robust_step(struct robust_walk *walk)
{
	struct robust_entry entry = walk->entry;
	u32 __user *word = robust_word(walk, &entry);
	bool more;
	u32 value;

	/* A fault may take its time. Let no waiter wait for another's page. */
	robust_wake(walk);

	/*
	 * Read the link first: as soon as the lock is marked, another thread
	 * may take it, and the link is that thread's to write.
	 */
	more = !robust_fetch(robust_compat(walk), walk->wait, &walk->entry,
			     entry.link);

	if (entry.link == walk->pending.link ||
	    robust_mark(walk, word, &value) != ROBUST_MARKED)
		walk->misses++;
	else if (value & FUTEX_WAITERS)
		robust_queue_wake(walk, word, entry.pi);

	walk->visits++;
	return more;
}

#ifndef unsafe_futex_atomic_cmpxchg
/*
 * An architecture that cannot exchange a word within a user access window does
 * it access by access, each of which checks its address, and keeps speculation
 * out, by itself.
 */
#define robust_window_begin()		true
#define robust_window_end()		do { } while (0)
#define robust_window_index(index, size) (index)
#define robust_window_get(x, ptr, label)				\
do {									\
	if (get_user(x, ptr))						\
		goto label;						\
} while (0)
#define robust_window_cmpxchg(ptr, old, new, label)			\
({									\
	u32 __found, __old = (old);					\
									\
	if (futex_atomic_cmpxchg_inatomic(&__found, ptr, __old, new))	\
		goto label;						\
	__found == __old;						\
})
#else
#define robust_window_begin()		user_access_begin(NULL, TASK_SIZE_MAX)
#define robust_window_end()		user_access_end()
/*
 * The generic mask is right for sizes up to LONG_MAX, and with 32 bits user
 * space may be larger. Locks are aligned to four bytes: count in these.
 */
#if BITS_PER_LONG == 32
#define robust_window_index(index, size)				\
	(array_index_nospec((index) / 4, ((size) - 1) / 4 + 1) * 4)
#else
#define robust_window_index(index, size) array_index_nospec(index, size)
#endif
#define robust_window_get(x, ptr, label)				\
	unsafe_get_user(x, ptr, label)
#define robust_window_cmpxchg(ptr, old, new, label)			\
({									\
	u32 __found = (old);						\
									\
	unsafe_futex_atomic_cmpxchg(ptr, &__found, new, label);		\
})
#endif

/*
 * Find out which links the window may use: those from @link_base on, @span of
 * them, for which link and word are both in user memory, and the sum of link
 * and offset does not wrap. One comparison, and one mask against speculation,
 * then does for the two of them.
 */
static void robust_set_bounds(struct robust_walk *walk)
{
	unsigned long limit = TASK_SIZE_MAX;
	unsigned long above = sizeof(unsigned long);
	unsigned long compat_limit;
	long offset = walk->futex_offset;

	if (robust_compat(walk)) {
		compat_limit = (unsigned long)compat_ptr(U32_MAX);
		limit = min(limit, compat_limit);
		offset = (compat_long_t)offset;
	}

	/* NULL is not among them: that leaves out the first word of memory. */
	walk->link_base = offset < 0 ? -(unsigned long)offset : sizeof(u32);
	walk->word_base = walk->link_base + offset;
	walk->span = 0;

	if (!IS_ALIGNED(walk->word_base, sizeof(u32)))
		return;

	above = max(above, walk->word_base + sizeof(u32));
	if (above <= limit && walk->link_base <= limit - above)
		walk->span = limit - above - walk->link_base + 1;
}

/*
 * Mark locks one after the other, until @walk->visits reaches @stop or there
 * comes an entry that is anything else than a lock that the thread holds and
 * whose memory is at hand: the end, the pending lock, a pointer to nowhere, a
 * word of somebody else, a page that is not mapped. Nothing was done about
 * that entry then, and robust_step() finds out what it is.
 *
 * The user access window is opened once for all of them. Page faults are off:
 * what is marked here is not woken yet, so nothing in here may sleep.
 *
 * Every instruction in the loop is paid for each lock that is held. So what the
 * loop needs of @walk is in local variables, @compat is constant, and a pointer
 * is taken apart into its link and its PI bit no sooner than needed.
 */
static __always_inline void robust_walk_window(struct robust_walk *walk,
					       unsigned int stop, bool compat)
{
	const unsigned long pending = (unsigned long)walk->pending.link;
	const unsigned long end = (unsigned long)walk->end;
	const unsigned long link_base = walk->link_base;
	const unsigned long word_base = walk->word_base;
	const unsigned long span = walk->span;
	unsigned int visits = walk->visits;
	unsigned long pointer;

	pointer = (unsigned long)walk->entry.link | walk->entry.pi;

	pagefault_disable();
	if (!robust_window_begin())
		goto out;

	for (; visits < stop; visits++) {
		unsigned long link = pointer & ~1UL;
		unsigned long index = link - link_base;
		compat_uptr_t compat_next;
		unsigned long next;
		u32 __user *word;
		u32 value;

		if (unlikely(index >= span))
			break;
		if (unlikely(link == end))
			break;
		if (!IS_ALIGNED(index, sizeof(*word)))
			break;
		index = robust_window_index(index, span);
		word = (u32 __user *)(word_base + index);

		if (compat) {
			robust_window_get(compat_next, (compat_uptr_t __user *)
					  (link_base + index), fault);
			next = (unsigned long)compat_ptr(compat_next);
		} else {
			robust_window_get(next, (unsigned long __user *)
					  (link_base + index), fault);
		}
		/* Not beside the others: that makes one test of them, and a longer. */
		if (unlikely(link == pending))
			break;
		robust_window_get(value, word, fault);
		if (!robust_held(walk, value) ||
		    !robust_window_cmpxchg(word, value, robust_marked(value),
					   fault))
			break;

		if (value & FUTEX_WAITERS)
			robust_queue_wake(walk, word, pointer & 1);
		pointer = next;
	}
fault:
	robust_window_end();
out:
	pagefault_enable();

	walk->entry.link = (void __user *)(pointer & ~1UL);
	walk->entry.pi = pointer & 1;
	walk->visits = visits;
}

/*
 * Whether there is another entry to visit, and reason to. NULL leads to no
 * lock: the list is broken there.
 */
static bool robust_more(const struct robust_walk *walk)
{
	return walk->entry.link && walk->entry.link != walk->end &&
	       walk->misses < ROBUST_LIST_LIMIT &&
	       walk->visits < ROBUST_VISIT_LIMIT;
}

/*
 * Walk from the first entry to the end, batch by batch. Not inline, so that
 * only threads that hold a lock make room for the words.
 */
static noinline void robust_walk_entries(struct robust_walk *walk)
{
	u32 __user *words[ROBUST_BATCH];
	bool more = true;

	walk->words = words;
	walk->nr_words = 0;
	walk->misses = 0;
	walk->visits = 0;
	robust_set_bounds(walk);

	while (more && robust_more(walk)) {
		unsigned int stop = walk->visits + ROBUST_BATCH;

		while (more && robust_more(walk) && walk->visits < stop) {
			if (walk->span && robust_compat(walk))
				robust_walk_window(walk, stop, true);
			else if (walk->span)
				robust_walk_window(walk, stop, false);
			if (robust_more(walk) && walk->visits < stop)
				more = robust_step(walk);
		}

		robust_wake(walk);
		cond_resched();
	}
}

/*
 * Mark the lock that was being locked or unlocked. If the thread has not got
 * it, it may owe a wakeup, see [1] and [7] above. Only an owner that finds
 * FUTEX_WAITERS when it unlocks makes the wakeup in its stead.
 */
static void robust_release_pending(struct robust_walk *walk)
{
	u32 __user *word = robust_word(walk, &walk->pending);
	bool wake = false;
	u32 value;

	walk->visits = 0;
	switch (robust_mark(walk, word, &value)) {
	case ROBUST_MARKED:
		wake = value & FUTEX_WAITERS;
		break;
	case ROBUST_NOT_HELD:
		wake = !(value & FUTEX_TID_MASK) || !(value & FUTEX_WAITERS);
		break;
	case ROBUST_FAULT:
		break;
	}

	if (wake && !walk->pending.pi) {
		walk->words = &word;
		walk->nr_words = 1;
		robust_wake(walk);
	}
}

/* There is a lock on the list, or one that is pending. */
static noinline void robust_walk_locks(bool compat, struct robust_wait *wait,
				       void __user *end,
				       const struct robust_entry *entry,
				       const struct robust_entry *pending,
				       void __user *futex_offset)
{
	struct robust_walk walk;

	/* Without the offset no futex word can be found. */
	if (robust_read(compat, wait, &walk.futex_offset, futex_offset))
		return;

	walk.end = end;
	walk.compat = compat;
	walk.wait = wait;
	walk.entry = *entry;
	walk.pending = *pending;
	walk.tid = task_pid_vnr(current);

	if (walk.entry.link != walk.end)
		robust_walk_entries(&walk);
	if (walk.pending.link)
		robust_release_pending(&walk);
}

/*
 * Walk the list of a head whose three fields are at these addresses.
 *
 * Hardly any thread dies with a lock, but each one of a C library that has
 * robust mutexes comes here. Find out in few steps that there is none.
 */
static __always_inline void robust_walk_head(bool compat,
					     struct robust_wait *wait,
					     void __user *list,
					     void __user *futex_offset,
					     void __user *list_op_pending)
{
	struct robust_entry pending = { .link = NULL };
	struct robust_entry entry = { .link = list };

	/*
	 * Read both before anything is woken: once its locks are marked, a
	 * thread that shares the memory may believe this one is gone. What
	 * cannot be read counts as none.
	 */
	robust_fetch(compat, wait, &pending, list_op_pending);
	robust_fetch(compat, wait, &entry, list);

	if (entry.link != list || pending.link)
		robust_walk_locks(compat, wait, list, &entry, &pending,
				  futex_offset);
}

/**
 * exit_robust_list() - Mark the locks that this thread leaves behind
 * @tsk:	the current task, which has registered a list
 *
 * Walks the lists of held locks and forgets them. Afterwards every lock that
 * the thread held and the kernel could write is marked with FUTEX_OWNER_DIED,
 * and a waiter of each is on its way.
 *
 * Context: Process context, of a task that is about to give up its mm for good
 * but still has it, and still has the TID that its locks carry. May sleep.
 */
void exit_robust_list(struct task_struct *tsk)
{
	struct robust_list_head __user *head = tsk->robust_list;
#ifdef CONFIG_COMPAT
	struct compat_robust_list_head __user *compat_head;
#endif
	struct robust_wait wait;

	wait.armed = false;
	WRITE_ONCE(tsk->robust_list, NULL);
	if (head)
		robust_walk_head(false, &wait, &head->list,
				 &head->futex_offset, &head->list_op_pending);

#ifdef CONFIG_COMPAT
	compat_head = tsk->compat_robust_list;
	WRITE_ONCE(tsk->compat_robust_list, NULL);
	if (compat_head)
		robust_walk_head(true, &wait, &compat_head->list,
				 &compat_head->futex_offset,
				 &compat_head->list_op_pending);
#endif
	robust_wait_end(&wait);
}
