/* SPDX-License-Identifier: GPL-2.0 */
/*
 * lock - robust mutexes, waiters, and a death at any step
 *
 * What it models: THREADS threads take and release LOCKS robust mutexes as the
 * C library does, one inside of the other where there are two. The first thread
 * takes FIRST_ROUNDS of them, each other one ROUNDS. Each thread may be killed
 * before any step in user space and while it sleeps, a wait may end by a
 * timeout, and a walk runs beside other threads and beside other walks. Memory
 * is sequentially consistent here; see order.pml.
 *
 * What it shows: with all that, in every order,
 *
 *   no_waiter_sleeps_for_ever	when nothing can run any more, no thread sleeps
 *   every_lock_is_marked	a thread that is gone owns no lock
 *   marked_once		what a walk marks is a lock that the thread owns
 *   no_foreign_word		a walk writes words that carry its thread's TID
 *   no_waiters_bit_is_lost	a mark keeps FUTEX_WAITERS
 *   one_owner			a lock that is taken had no owner
 *   one_wakeup			a walk wakes one waiter of a lock at most,
 *   no_needless_wakeup		and none where its owner or no thread has to
 *
 * Its result must be: no error. With a broken variant: an error of the property
 * that the file `expectations` names beside it. The names of the variants are
 * those of the kernel's mutants where the mistake is the same.
 *
 * [1] to [9] are the steps of the table on top of kernel/futex/robust.c. [wait]
 * stands for futex_wait(), [wake] for futex_wake() and futex_wake_words(),
 * [walk] for robust_walk_entries() with robust_step() and robust_run(), and
 * [pending] for robust_release_pending().
 */

#ifndef THREADS
#define THREADS		3
#endif
#ifndef LOCKS
#define LOCKS		1
#endif
#ifndef ROUNDS
#define ROUNDS		1
#endif
#ifndef FIRST_ROUNDS
#define FIRST_ROUNDS	ROUNDS
#endif

/* The futex word. TIDs are 1 to THREADS. */
#define TID_MASK	3
#define WAITERS		4
#define OWNER_DIED	8
#define tid_of(value)	((value) & TID_MASK)
#define MY_TID		(me + 1)

/*
 * A link leads to a lock or, at the end of a list, to the head of its thread.
 * NONE is NULL.
 */
#define HEAD		(LOCKS + me)
#define NONE		15

/*
 * User memory: the locks. The heads are below, in the threads: no other thread
 * looks at them.
 */
byte word[LOCKS];
byte link[LOCKS];

/* The kernel: a hash bucket for each futex, and where a thread is queued */
byte counter[LOCKS];
bool bucket_locked[LOCKS];
byte queued[THREADS];		/* the lock + 1, or 0 */

/* For the properties: the owner of a lock by the steps made, not by its word */
byte owner[LOCKS];
bool ended[THREADS];

/*
 * The verifier prints the condition that does not hold, and so the name of the
 * property. The variables of these names are always 0.
 */
hidden byte no_waiter_sleeps_for_ever, every_lock_is_marked, marked_once,
	no_foreign_word, no_waiters_bit_is_lost, one_owner, one_wakeup,
	no_needless_wakeup;
#define promise(name, condition)	assert((condition) || name)

/* What must be reached, or the model shows nothing: -DWITNESS=NAME */
#define WOKEN_FOR_A_MARKED_LOCK		1
#define WOKEN_FOR_A_FREE_PENDING_LOCK	2
#define WOKEN_FOR_A_LEFT_PENDING_LOCK	3
#define WOKEN_FOR_AN_OWNED_PENDING_LOCK	4
#define MARKED_ON_THE_LIST		5
#define MARKED_AS_PENDING		6
#define PENDING_MET_ON_THE_LIST		7
#define MARKED_LOCK_TAKEN		8
#define EXCHANGE_REPEATED		9
#define TWO_MARKED_BY_ONE_WALK		10
#define KILLED_WITH_THE_WAKEUP_USED_UP	11
#define COUNTED_BUT_NOT_QUEUED		12
hidden byte witness_reached;
#ifdef WITNESS
#define witness(name, condition)					\
	assert(!(name == WITNESS && (condition)) || witness_reached)
#else
#define witness(name, condition)	skip
#endif

/* In user space a thread may be killed before each step. */
#define OR_DIE		:: goto dying

#define asleep(t)	(queued[t] != 0)
#define runs(t)		(!ended[t] && !asleep(t))
#if THREADS == 2
#define SOME_RUN	(runs(0) || runs(1))
#define SOME_SLEEP	(asleep(0) || asleep(1))
#define NONE_ON(l)	(queued[0] != l + 1 && queued[1] != l + 1)
#else
#define SOME_RUN	(runs(0) || runs(1) || runs(2))
#define SOME_SLEEP	(asleep(0) || asleep(1) || asleep(2))
#define NONE_ON(l)	(queued[0] != l + 1 && queued[1] != l + 1 && \
			 queued[2] != l + 1)
#endif

inline dequeue(t, l, why)
{
	queued[t] = 0;
	counter[l]--;
	taken++;
	witness(why, true);
	promise(one_wakeup, taken <= 1)
}

/*
 * [wake] Look at the counter. Unless it is 0, lock the bucket and take a waiter
 * off the queue, whichever has the highest priority.
 */
inline futex_wake(l, all, why)
{
	if
	:: counter[l] == 0
	:: counter[l] != 0 ->
		atomic {
			!bucket_locked[l];
			do
			:: queued[0] == l + 1 -> dequeue(0, l, why); if :: all :: !all -> break fi
			:: queued[1] == l + 1 -> dequeue(1, l, why); if :: all :: !all -> break fi
#if THREADS > 2
			:: queued[2] == l + 1 -> dequeue(2, l, why); if :: all :: !all -> break fi
#endif
			:: NONE_ON(l) ->
				witness(COUNTED_BUT_NOT_QUEUED, true);
				break
			od;
			taken = 0
		}
	fi
}

/*
 * What is broken in the kernel, where it is an expression
 */
#ifdef MARKS_FOREIGN_WORDS_IN_STEP	/* every word is the thread's own */
#define HELD(value)	(tid_of(value) != 0)
#else
#define HELD(value)	(tid_of(value) == MY_TID)
#endif

#if defined(TID_KEPT_IN_STEP)		/* a marked word keeps the TID */
#define MARKED(value)	((value) | OWNER_DIED)
#elif defined(WAITERS_BIT_LOST_IN_STEP)	/* a marked word loses FUTEX_WAITERS */
#define MARKED(value)	OWNER_DIED
#else
#define MARKED(value)	(((value) & WAITERS) | OWNER_DIED)
#endif

#if defined(WAKES_NONE) || defined(WAKES_BEFORE_MARK)
#define WAKES(value)	false
#elif defined(WAKES_WITHOUT_THE_WAITERS_BIT)
#define WAKES(value)	true
#else
#define WAKES(value)	((value) & WAITERS)
#endif

#ifdef WAKES_ALL			/* all waiters of a marked lock are woken */
#define WALK_WAKES_ALL	true
#else
#define WALK_WAKES_ALL	false
#endif

#ifdef PENDING_WAKES_ALL		/* all waiters of the pending lock are */
#define PENDING_ALL	true
#else
#define PENDING_ALL	false
#endif

#if defined(PENDING_WAKES_NONE)		/* no waiter of the pending lock is */
#define PENDING_WAKES(value)	false
#elif defined(PENDING_WAKES_ALWAYS)	/* nor is it left to the owner */
#define PENDING_WAKES(value)	true
#elif defined(PENDING_WAKES_FOR_FREE_LOCKS_ONLY) /* a third thread was faster */
#define PENDING_WAKES(value)	(tid_of(value) == 0)
#elif defined(PENDING_WAKES_FOR_OWNED_LOCKS_ONLY) /* free, marked: no wakeup */
#define PENDING_WAKES(value)	(tid_of(value) != 0 && !((value) & WAITERS))
#elif defined(PENDING_WAKES_NOT_FOR_MARKED_LOCKS) /* a dead owner was faster */
#define PENDING_WAKES(value)	(!((value) & OWNER_DIED) &&		\
				 (tid_of(value) == 0 || !((value) & WAITERS)))
#elif defined(PENDING_WAKES_WITH_WAITERS_ONLY)	/* the word tells it all */
#define PENDING_WAKES(value)	(tid_of(value) == 0 && ((value) & WAITERS))
#else
#define PENDING_WAKES(value)	(tid_of(value) == 0 || !((value) & WAITERS))
#endif

/* For the properties: this walk will wake a waiter of a lock. */
inline note_wakeup(l, needed)
{
	promise(one_wakeup, !(woken & (1 << l)));
	promise(no_needless_wakeup, needed);
	woken = woken | (1 << l)
}

/* [walk] The exchange has found the word as it was read. */
inline exchange(e)
{
	promise(no_foreign_word, tid_of(word[e]) == MY_TID);
	promise(marked_once, owner[e] == MY_TID);
	promise(no_waiters_bit_is_lost,
		(word[e] & WAITERS) == (MARKED(value) & WAITERS));
	word[e] = MARKED(value);
	owner[e] = 0;
	marked = true;
	marks++;
	witness(TWO_MARKED_BY_ONE_WALK, marks == 2)
}

/*
 * [walk] robust_mark(): read the word, and replace it if it is the thread's;
 * again if it has changed in between. Sets value and marked.
 */
inline mark(e)
{
	value = word[e];
	do
	:: atomic { marked || !HELD(value) -> break }
	:: atomic {
		!marked && HELD(value) ->
		if
#ifdef MARKS_NON_ATOMICALLY_IN_STEP	/* a store, whatever is there by now */
		:: exchange(e)
#else
		:: word[e] == value -> exchange(e)
		:: word[e] != value ->
			witness(EXCHANGE_REPEATED, true);
			value = word[e];
#ifdef NO_SECOND_TRY			/* a word that changes is given up */
			break
#endif
#endif
		fi
	}
	od
}

/*
 * [walk] robust_wake(): wake a waiter of each word that was marked. The kernel
 * does so now and then, and at the end of the list.
 */
inline wake_words()
{
	do
	:: words == 0 -> break
	:: words & 1 -> words = words & 2; futex_wake(0, WALK_WAKES_ALL, WOKEN_FOR_A_MARKED_LOCK)
	:: words & 2 -> words = words & 1; futex_wake(LOCKS - 1, WALK_WAKES_ALL, WOKEN_FOR_A_MARKED_LOCK)
	od
}

/* [walk] robust_step(), or one lock of robust_run() */
inline step()
{
#ifndef LINK_READ_AFTER_THE_MARK_IN_STEP
	next = link[entry];
#endif
	if
#ifndef PENDING_TWICE_IN_STEP		/* marked here and handled again later */
	:: entry == pending -> witness(PENDING_MET_ON_THE_LIST, true)
	:: entry != pending ->
#else
	:: true ->
#endif
#ifdef WAKES_BEFORE_MARK
		if
		:: word[entry] == (MY_TID | WAITERS) -> words = words | (1 << entry)
		:: else
		fi;
		wake_words();
#endif
		mark(entry);
		atomic {
			if
			:: !marked
			:: marked && WAKES(value) ->
				note_wakeup(entry, value & WAITERS);
				words = words | (1 << entry)
			:: marked && !WAKES(value)
			fi;
			witness(MARKED_ON_THE_LIST, marked);
			marked = false;
			value = 0
		}
	fi;
#ifdef LINK_READ_AFTER_THE_MARK_IN_STEP	/* when it may be another owner's */
	next = link[entry];
#endif
	atomic { entry = next; next = 0 }
}

/* For the witnesses: what the pending lock was, if it was not the thread's */
#define PENDING_CASE							\
	(tid_of(value) == MY_TID -> WOKEN_FOR_A_MARKED_LOCK :		\
	 (tid_of(value) != 0 -> WOKEN_FOR_AN_OWNED_PENDING_LOCK :	\
	  (value & OWNER_DIED -> WOKEN_FOR_A_LEFT_PENDING_LOCK :	\
	   WOKEN_FOR_A_FREE_PENDING_LOCK)))

/* [pending] robust_release_pending() */
inline release_pending()
{
	mark(pending);
	atomic {
		if
		:: marked && WAKES(value) ->
			witness(MARKED_AS_PENDING, true);
			note_wakeup(pending, value & WAITERS);
			words = 1
		:: !marked && PENDING_WAKES(value) ->
			note_wakeup(pending, !(tid_of(value) != 0 && (value & WAITERS)));
			words = 1
		:: else
		fi;
		/* value stays: it tells the witnesses which case it is. */
		marked = false
	};
	if
	:: words == 0
	:: words != 0 -> futex_wake(pending, PENDING_ALL, PENDING_CASE)
	fi
}

proctype thread(byte me)
{
	byte head = HEAD;	/* its link to the first entry */
	byte pending = NONE;	/* its list_op_pending */
	byte lock;		/* the one that is being locked or unlocked */
	byte held;		/* a bit for each lock */
	byte rounds;
	byte value;		/* of a word, as it was last read */
	byte waiters;		/* WAITERS once the thread has slept */
	byte entry, next, words;		/* of the walk */
	bool marked;
	byte woken, taken, marks;		/* for the properties */

	if
	:: me == 0 -> rounds = FIRST_ROUNDS
	:: me != 0 -> rounds = ROUNDS
	fi;

idle:
	if
	/* Locks are taken in one order, so that a deadlock is no program's fault. */
	:: atomic { rounds > 0 && held == 0 -> lock = 0 }; goto locking
#if LOCKS > 1
	:: atomic { rounds > 0 && !(held & 2) -> lock = 1 }; goto locking
	:: atomic { held & 2 -> lock = 1 }; goto unlocking
#endif
	:: atomic { held & 1 -> lock = 0 }; goto unlocking
	:: held == 0 && rounds == 0 -> goto dying	/* by its own decision */
	OR_DIE
	fi;

locking:
	if
	:: atomic { pending = lock; rounds-- }		/* [1] */
	OR_DIE
	fi;
	if
	:: value = word[lock]				/* [2] */
	OR_DIE
	fi;
again:
	if
	/* [2] free or marked: take it, with what others left to be done */
	:: atomic {
		tid_of(value) == 0 ->
		if
		:: word[lock] == value ->
			promise(one_owner, owner[lock] == 0);
			witness(MARKED_LOCK_TAKEN, value & OWNER_DIED);
			word[lock] = MY_TID | (value & WAITERS) | waiters;
			owner[lock] = MY_TID;
			value = 0;
			waiters = 0;
			goto taken_now
		:: word[lock] != value ->
			value = word[lock];
			goto again
		fi
	}
	/* [2] owned: tell the owner that there is a waiter */
	:: atomic {
		tid_of(value) != 0 && !(value & WAITERS) ->
		if
		:: word[lock] == value ->
			word[lock] = value | WAITERS;
			value = word[lock]
		:: word[lock] != value ->
			value = word[lock]
		fi
	}; goto again
	/* [2] and sleep, as long as the word is what it was */
	:: atomic {
		tid_of(value) != 0 && (value & WAITERS) ->
#ifndef WAITERS_FORGOTTEN_AFTER_SLEEP
		waiters = WAITERS
#endif
	}; goto waiting
	OR_DIE
	fi;

waiting:
	/* [wait] futex_q_lock(): be counted, then lock the bucket */
#ifndef WAITER_COUNTED_AFTER_READ
	counter[lock]++;
#endif
	atomic { !bucket_locked[lock] -> bucket_locked[lock] = true };
	/* [wait] futex_wait_setup(): look at the word */
	if
	:: atomic {
		word[lock] != value ->
		bucket_locked[lock] = false;
#ifndef WAITER_COUNTED_AFTER_READ
		counter[lock]--
#endif
	}; goto woken_up
	:: word[lock] == value
	fi;
	/* [wait] futex_wait_queue() */
	atomic {
		queued[me] = lock + 1;
		bucket_locked[lock] = false;
		value = 0;
		promise(no_waiter_sleeps_for_ever, SOME_RUN)
#ifdef WAITER_COUNTED_AFTER_READ
	};
	atomic {
		counter[lock]++
#endif
	};
	/* [wait] Another thread, a kill, or a timeout ends the sleep. */
	if
	:: !asleep(me)
	:: atomic {
		asleep(me) && !bucket_locked[lock] ->
		queued[me] = 0;
		counter[lock]--
	}; goto dying
	:: atomic {
		asleep(me) && !bucket_locked[lock] ->
		queued[me] = 0;
		counter[lock]--;
		waiters = 0
	}; goto given_up
	fi;
woken_up:
	if
	:: value = word[lock]; goto again		/* [2] */
	:: atomic {
		witness(KILLED_WITH_THE_WAKEUP_USED_UP, value == 0);
		goto dying
	}
#ifdef GIVES_UP_WITH_THE_WAKEUP		/* the time is over, but the wakeup came */
	:: atomic { value == 0 -> waiters = 0 }; goto given_up
#endif
	fi;

taken_now:
	if
	:: link[lock] = head				/* [3] the entry */
	OR_DIE
	fi;
	if
	:: atomic { head = lock; held = held | (1 << lock) } /* [3] the head */
	OR_DIE
	fi;
given_up:
	if
	:: pending = NONE; goto idle			/* [4] */
	OR_DIE
	fi;

unlocking:
	if
	:: pending = lock				/* [5] */
	OR_DIE
	fi;
	if
	:: atomic {					/* [6] */
		if
		:: head == lock -> head = link[lock]
#if LOCKS > 1
		:: head != lock -> link[1 - lock] = link[lock]
#endif
		fi;
		link[lock] = NONE;
		held = held & ~(1 << lock)
	}
	OR_DIE
	fi;
	if
	:: atomic {					/* [7] */
		value = word[lock];
		word[lock] = 0;
		owner[lock] = 0
	}
	OR_DIE
	fi;
	if
	:: value & WAITERS -> futex_wake(lock, false, 0)	/* [8] */
	:: !(value & WAITERS)
	OR_DIE
	fi;
	value = 0;
	if
	:: pending = NONE; goto idle			/* [9] */
	OR_DIE
	fi;

dying:
	atomic {
		entry = head;
		lock = 0; held = 0; rounds = 0; value = 0; waiters = 0
	};
	do
	/* A link that is broken leads into another thread's list, or nowhere. */
	:: atomic { entry >= LOCKS -> break }
	:: else -> step(); if :: wake_words() :: skip fi
	od;
	wake_words();
	if
	:: pending != NONE -> release_pending()
	:: pending == NONE
	fi;
	d_step {
		ended[me] = true;
		pending = NONE; head = HEAD;
		value = 0; entry = 0; words = 0;
		woken = 0; marks = 0;
		promise(every_lock_is_marked, owner[0] != MY_TID);
#if LOCKS > 1
		promise(every_lock_is_marked, owner[1] != MY_TID);
#endif
		promise(no_waiter_sleeps_for_ever, SOME_RUN || !SOME_SLEEP)
	}
}

init {
	atomic {
		run thread(0);
		run thread(1);
#if THREADS > 2
		run thread(2)
#endif
	}
}
