/* SPDX-License-Identifier: GPL-2.0 */
/*
 * unlock - a lock is destroyed and its memory reused while it is unlocked
 *
 * What it models: thread A owns a robust mutex, releases it, and may be killed
 * before any step. Thread B of the same process takes the lock after it, with C
 * if there is a third one, destroys the lock when C has done with it, and uses
 * the memory for something else, in which any number may come to stand. POSIX
 * allows that. -DUNLOCK=USER, KERNEL or VDSO is the way in which A unlocks:
 *
 *   USER	[7] to [9] in user space, as C libraries do today
 *   KERNEL	the futex() call with FUTEX_ROBUST_UNLOCK
 *   VDSO	the try_unlock function of the vDSO, with a signal at any moment,
 *		and the futex() call where it fails
 *
 * What it shows:
 *
 *   no_foreign_word		a walk writes words of locks that A owns only
 *   no_pending_is_left		KERNEL, VDSO: a walk finds no list_op_pending of
 *				a lock that is released, wherever A is killed
 *   lock_is_marked		A does not end as the owner of the lock
 *   no_waiter_sleeps_for_ever	when nothing can run any more, no thread sleeps
 *
 * Its result must be: with USER an error of no_foreign_word, whose trace tells
 * how it comes about, and none if B does not reuse the memory (-DNO_REUSE). With
 * KERNEL and VDSO no error; with a broken variant, one of the property that the
 * file `expectations` names beside it.
 *
 * [5] to [9] are the steps of the table on top of kernel/futex/robust.c. [unlock]
 * stands for FUTEX_ROBUST_UNLOCK, [vdso] for the vDSO and what the kernel does
 * about a thread that it stops in there, [pending] for robust_release_pending().
 * What becomes of waiters is shown in detail by lock.pml: here a wait and a
 * wakeup are a step each.
 */

#define USER	1
#define KERNEL	2
#define VDSO	3
#ifndef UNLOCK
#define UNLOCK	USER
#endif

/* Threads, by their TIDs */
#define A	1
#define B	2
#define C	3
#define TID_MASK	3
#define WAITERS		4
#define OWNER_DIED	8
#define OTHER		16	/* a number that is nothing of this kind */
#define tid_of(value)	((value) & TID_MASK)

byte word = A;			/* the lock's, or what is in its place */
bool pending;			/* list_op_pending of A points to the lock */
bool on_list = true;		/* the lock is on the list of A */
bool a_lock = true;		/* the memory is that of a lock */
byte owner = A;			/* by the steps made, not by the word */
bool asleep[C + 1];
bool done[C + 1];

hidden byte no_foreign_word, no_pending_is_left, lock_is_marked,
	no_waiter_sleeps_for_ever;
#define promise(name, condition)	assert((condition) || name)

/* What must be reached, or the model shows nothing: -DWITNESS=NAME */
#define MARKED_AS_PENDING	1
#define MARKED_ON_THE_LIST	2
#define LOCK_DESTROYED		3
#define MEMORY_HAS_THE_TID	4
#define KILLED_IN_THE_RANGE	5
#define KILLED_IN_THE_HANDLER	6
#define KILLED_IN_THE_STORE	7
#define RELEASED_WITH_A_WAITER	8
hidden byte witness_reached;
#ifdef WITNESS
#define witness(name, condition)					\
	assert(!(name == WITNESS && (condition)) || witness_reached)
#else
#define witness(name, condition)	skip
#endif

/* The trace of an error reads as a story of these lines. */
#define say(text)	printf(text)

/* In user space A may be killed before each step. */
#define OR_DIE		:: goto dying

#define runs(t)		(!done[t] && !asleep[t])
#define promise_of_sleepers()						\
	promise(no_waiter_sleeps_for_ever, runs(A) || runs(B) || runs(C) || \
		(!asleep[B] && !asleep[C]))

/* [wake] one waiter, whichever it is */
inline futex_wake()
{
	atomic {
		if
		:: asleep[B] -> asleep[B] = false; say("[wake] B is woken\n")
		:: asleep[C] -> asleep[C] = false; say("[wake] C is woken\n")
		:: !asleep[B] && !asleep[C]
		fi
	}
}

/* [unlock] The call FUTEX_ROBUST_UNLOCK. A kill waits until it is over. */
inline robust_unlock()
{
#ifdef KERNEL_CLEARS_PENDING_FIRST
	clear_pending_in_kernel();
#endif
	/*
	 * [unlock] The word becomes 0. A kill may come while its page is waited
	 * for: nothing was done then.
	 */
	if
	:: atomic {
		say("[unlock] the kernel puts 0 into the word\n");
		witness(RELEASED_WITH_A_WAITER, word & WAITERS);
		word = 0;
		owner = 0
	}
	:: atomic { say("[unlock] a kill ends the wait for the word\n"); goto dying }
	fi;
#if !defined(KERNEL_CLEARS_PENDING_FIRST) && !defined(KERNEL_KEEPS_PENDING)
	clear_pending_in_kernel();
#endif
#ifndef UNLOCK_WAKES_NONE
	futex_wake();
#endif
	if
	:: killed -> goto dying
	:: !killed
	fi
}

/*
 * [unlock] list_op_pending becomes NULL. If its page is waited for and a kill
 * ends the wait, it cannot be written, and the walk is told not to use it.
 */
inline clear_pending_in_kernel()
{
	if
	:: atomic {
		say("[unlock] the kernel clears list_op_pending\n");
		pending = false
	}
	:: atomic {
		say("[unlock] a kill ends the wait for list_op_pending\n");
		witness(KILLED_IN_THE_STORE, true);
		killed = true;
#ifndef LATE_PENDING_IS_USED
		unused = true;
#endif
#ifdef LATE_PENDING_COSTS_THE_WAKEUP
		goto dying
#endif
	}
	fi
}

/* A owns the lock and releases it. */
active proctype a()
{
	byte value;
	bool killed;		/* and will find out when it leaves the kernel */
	bool unused;		/* the walk is not to use list_op_pending */
	bool released;		/* by the exchange in the vDSO */

	if
	:: atomic { pending = true; say("[5] A sets list_op_pending\n") }
	OR_DIE
	fi;
	if
	:: atomic { on_list = false; say("[6] A takes the entry off the list\n") }
	OR_DIE
	fi;

#if UNLOCK == USER
	if
	:: atomic {
		say("[7] A exchanges the word for 0\n");
		value = word;
		word = 0;
		owner = 0
	}
	OR_DIE
	fi;
	if
	:: value & WAITERS -> say("[8] A wakes a waiter\n"); futex_wake()
	:: !(value & WAITERS)
	OR_DIE
	fi;
	if
	:: atomic { pending = false; say("[9] A clears list_op_pending\n") }
	OR_DIE
	fi;
#endif

#if UNLOCK == KERNEL
	if
	:: robust_unlock()
	OR_DIE
	fi;
#endif

#if UNLOCK == VDSO
#ifdef VDSO_CLEARS_PENDING_FIRST
	if
	:: pending = false
	OR_DIE
	fi;
#endif
	if
	:: atomic {
		say("[vdso] A compares and exchanges the word\n");
		if
#ifdef VDSO_IGNORES_WAITERS
		:: tid_of(word) == A -> word = 0; owner = 0; released = true
		:: tid_of(word) != A
#else
		:: word == A -> word = 0; owner = 0; released = true
		:: word != A
#endif
		fi
	}
	OR_DIE
	fi;

	/* The range: the exchange is made, and may have failed. */
in_range:
	if
	:: released -> atomic { pending = false; say("[vdso] A clears list_op_pending\n") }
	:: !released
	:: atomic {
		say("[vdso] a signal stops A in the range\n");
#ifdef CLEARED_THOUGH_THE_EXCHANGE_FAILED
		pending = false;
#endif
#ifndef RANGE_UNKNOWN_TO_SIGNALS
		if
		:: released -> pending = false
		:: !released
		fi
#endif
	};
		/* The handler runs, and A is not in the range any more. */
		if
		:: goto in_range
		:: atomic {
			say("[vdso] A is killed in the handler\n");
			witness(KILLED_IN_THE_HANDLER, released);
			goto dying
		}
		fi
	:: atomic {
		say("[vdso] A is killed in the range\n");
		witness(KILLED_IN_THE_RANGE, released);
#ifdef CLEARED_THOUGH_THE_EXCHANGE_FAILED
		unused = true;
#endif
#ifndef RANGE_UNKNOWN_TO_KILLS
		unused = released;
#endif
		goto dying
	}
	fi;
	if
	:: released
	:: !released -> robust_unlock()
	OR_DIE
	fi;
#endif
	/* A has nothing to do with the lock any more, and may still be killed. */
	if
	:: atomic { done[A] = true; promise_of_sleepers(); goto over }
	OR_DIE
	fi;

dying:
	atomic {
		say("A is killed, and its list is walked\n");
		if
		:: on_list || (pending && !unused)
		:: !on_list && (!pending || unused) -> goto walked
		fi
	};
	promise(no_pending_is_left, UNLOCK == USER || owner == A);
	/* [walk] or [pending] The word is read, and then exchanged. */
	value = word;
	do
	:: atomic { word == value && tid_of(value) == A ->
		say("[pending] the TID is found in the word and is replaced\n");
		promise(no_foreign_word, a_lock && owner == A);
		witness(MARKED_ON_THE_LIST, on_list);
		witness(MARKED_AS_PENDING, !on_list);
		word = (value & WAITERS) | OWNER_DIED;
		owner = 0;
		break
	}
	:: word != value && tid_of(value) == A -> value = word
	:: tid_of(value) != A -> break
	od;
	/* A wakeup for a lock that is not A's is made unless its owner will. */
	if
	:: tid_of(value) == A && !(value & WAITERS)
	:: tid_of(value) != A && tid_of(value) != 0 && (value & WAITERS)
	:: else -> futex_wake()
	fi;
walked:
	atomic {
		value = 0;
		done[A] = true;
		promise(lock_is_marked, owner != A);
		promise_of_sleepers()
	};
over:
	skip
}

/* B and C take the lock once each and release it. */
proctype other(byte me)
{
	byte value, waiters;

	if
	:: me == C -> goto finished	/* There are two threads only. */
	:: true
	fi;
again:
	value = word;
	if
	:: atomic {
		tid_of(value) == 0 ->
		if
		:: word == value ->
			word = me | (value & WAITERS) | waiters;
			owner = me;
			if
			:: me == B -> say("[2] B takes the lock\n")
			:: me == C -> say("[2] C takes the lock\n")
			fi
		:: word != value -> goto again
		fi
	}
	:: atomic {
		tid_of(value) != 0 ->
		if
		:: word == value -> word = value | WAITERS; waiters = WAITERS
		:: word != value -> goto again
		fi
	};
		/* [wait] sleeps if the word is still what it was */
		atomic {
			if
			:: word == (value | WAITERS) ->
				asleep[me] = true;
				promise_of_sleepers()
			:: else
			fi
		};
		!asleep[me];
		goto again
	fi;
	atomic {
		value = word;
		word = 0;
		owner = 0;
		if
		:: me == B -> say("[7] B releases the lock\n")
		:: me == C -> say("[7] C releases the lock\n")
		fi
	};
	if
	:: value & WAITERS -> futex_wake()
	:: !(value & WAITERS)
	fi;
finished:
	atomic { value = 0; waiters = 0; done[me] = true; promise_of_sleepers() };
#ifndef NO_REUSE
	if
	:: me == B ->
		/* C has done with the lock. That A has is the program's view. */
		atomic {
			done[C] ->
			a_lock = false;
			say("B destroys the lock and maps other memory there\n");
			witness(LOCK_DESTROYED, true)
		};
		if
		:: atomic {
			word = A;
			witness(MEMORY_HAS_THE_TID, true);
			say("B stores a number there that equals the TID of A\n")
		}
		:: word = 0
		:: word = OTHER
		fi
	:: me != B
	fi
#else
	skip
#endif
}

init {
	atomic {
		run other(B);
		run other(C)
	}
}
