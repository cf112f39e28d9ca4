/* SPDX-License-Identifier: GPL-2.0 */
/*
 * order - which barriers it takes that no wakeup and no store is missed
 *
 * What it models: two threads that reach each other through memory with store
 * buffers. With -DMEMORY=TSO a buffer is drained in order, and an atomic
 * operation waits until it is empty, as on x86. With -DMEMORY=WEAK stores leave
 * a buffer in any order but that of one location, an atomic operation without
 * further words orders nothing else, and a load may come before what precedes
 * it in the program: the model of an architecture such as arm64, where all CPUs
 * see a store at once. -DTEST chooses what the threads do:
 *
 *   SLEEPER	A waiter is counted, looks at the word, and sleeps. The owner of
 *		the lock changes the word, looks at the counter, and wakes. It is
 *		-DPATH=MARK: killed, and its walk marks the lock; UNLOCK: it makes
 *		steps [7] and [8]; PENDING: it is killed after [7]; or KERNEL: it
 *		releases the lock by FUTEX_ROBUST_UNLOCK.
 *
 *   HANDOVER	The owner writes data that the lock protects and takes the entry
 *		off its list. The next owner takes the lock, reads the data, and
 *		puts the entry on a list of its own. The paths are the same.
 *
 * What it shows:
 *
 *   no_waiter_sleeps_for_ever	SLEEPER: the waiter does not sleep in the end
 *   next_owner_sees_the_data	HANDOVER: as it was last written
 *   link_is_the_owners		HANDOVER: what the next owner wrote to the link
 *				stays there
 *   link_read_before_the_mark	HANDOVER: a walk does not read that link
 *
 * Its result must be: no error. With one of the barriers taken out, the result
 * that the file `expectations` names beside it: an error where the barrier is
 * needed, and none where TSO or another barrier makes up for it.
 *
 * (A) and (B) are the barriers of that name in kernel/futex/waitwake.c, [6], [7],
 * [8] the steps of the table on top of kernel/futex/robust.c, and [walk] and
 * [wake], [wait] as in lock.pml.
 */

#define TSO		1
#define WEAK		2
#define SLEEPER		1
#define HANDOVER	2
#define MARK		1
#define UNLOCK		2
#define PENDING		3
#define KERNEL		4

#ifndef MEMORY
#define MEMORY		WEAK
#endif
#ifndef TEST
#define TEST		SLEEPER
#endif
#ifndef PATH
#define PATH		MARK
#endif

/* Locations */
#define WORD		0
#define COUNTER		1
#define DATA		2
#define LINK		3
#define LOCATIONS	4

/* What the word and the link can be */
#define FREE		0
#define OWNED		1
#define MARKED		2
#define OF_NEXT_OWNER	3
#define NULL		4

#define OWNER		0		/* the threads */
#define OTHER		1

byte memory[LOCATIONS];
bool reserved[LOCATIONS];		/* by an atomic operation not drained yet */
chan buffer[2] = [4] of { byte, byte };	/* location, value */

bool bucket_locked, queued, owner_done;

hidden byte no_waiter_sleeps_for_ever, next_owner_sees_the_data,
	link_is_the_owners, link_read_before_the_mark;
#define promise(name, condition)	assert((condition) || name)

/* What must be reached, or the model shows nothing: -DWITNESS=NAME */
#define WOKEN			1
#define WORD_FOUND_CHANGED	2
#define COUNTED_NONE		3
#define LOCK_HANDED_OVER	4
#define STORE_LATE		5
hidden byte witness_reached;
#ifdef WITNESS
#define witness(name, condition)					\
	assert(!(name == WITNESS && (condition)) || witness_reached)
#else
#define witness(name, condition)	skip
#endif

inline full_barrier(t)
{
	empty(buffer[t])
}

inline store(t, x, v)
{
	buffer[t]!x, v
}

/* An atomic operation: to be made where !reserved[x] holds, within atomic */
inline exchange(t, x, v)
{
	if
	:: MEMORY == TSO -> memory[x] = v
	:: MEMORY == WEAK -> reserved[x] = true; buffer[t]!x, v
	fi
}

#define may_exchange(t, x)						\
	(!reserved[x] && (MEMORY == WEAK || empty(buffer[t])))

#define drains(x)							\
	atomic { buffer[t]??x, value -> memory[x] = value; reserved[x] = false }

proctype drain(byte t)
{
	byte x, value;

end:
	do
#if MEMORY == TSO
	:: atomic { buffer[t]?x, value -> memory[x] = value; x = 0; value = 0 }
#else
	:: drains(WORD)
	:: drains(COUNTER)
	:: drains(DATA)
	:: drains(LINK)
#endif
	od
}

/* A store or an exchange with release: what precedes it is seen first. */
inline release(t)
{
#ifndef RELEASE_TAKEN_OUT
	full_barrier(t)
#else
	skip
#endif
}

/* The owner lets go of the word: what it becomes depends on the path. */
inline let_go()
{
	if
	:: PATH == MARK ->
		/* [walk] The link is read, and then the word is exchanged. */
		if
		:: next = memory[LINK]; read = true
#ifdef EXCHANGE_NOT_ORDERED
		:: MEMORY == WEAK	/* The load comes after the exchange. */
#endif
		fi;
#ifndef EXCHANGE_NOT_ORDERED
		full_barrier(OWNER);
#endif
		atomic { may_exchange(OWNER, WORD); exchange(OWNER, WORD, MARKED) };
#ifndef EXCHANGE_NOT_ORDERED
		full_barrier(OWNER);
#endif
		if		/* Only without an order it was not read before. */
		:: read
		:: !read -> next = memory[LINK]
		fi;
#ifndef NO_LINK			/* not looked at, where another one is to be seen */
		promise(link_read_before_the_mark, next != OF_NEXT_OWNER)
#endif
	:: PATH == UNLOCK || PATH == PENDING ->
		release(OWNER);
		atomic { may_exchange(OWNER, WORD); exchange(OWNER, WORD, FREE) } /* [7] */
	:: PATH == KERNEL ->
		release(OWNER);
		store(OWNER, WORD, FREE)
	fi
}

#if TEST == SLEEPER

proctype owner()
{
	byte next;
	bool read;

	let_go();
	/* [wake], or [pending] where the owner did not come to [8] */
#ifndef BARRIER_B_TAKEN_OUT
	full_barrier(OWNER);				/* (B) */
#endif
	if
	:: atomic { memory[COUNTER] == 0 -> witness(COUNTED_NONE, true) }
	:: memory[COUNTER] != 0 ->
		atomic { !bucket_locked -> bucket_locked = true };
		atomic {
			witness(WOKEN, queued);
			queued = false;
			bucket_locked = false
		}
	fi;
	atomic {
		owner_done = true;
		promise(no_waiter_sleeps_for_ever, !queued)
	}
}

proctype other()
{
	/* [wait] futex_q_lock() */
#ifndef WAITER_COUNTED_AFTER_READ
	atomic {
		may_exchange(OTHER, COUNTER);
		exchange(OTHER, COUNTER, memory[COUNTER] + 1)
	};
#ifndef BARRIER_A_TAKEN_OUT
	full_barrier(OTHER);				/* (A) */
#endif
#endif
	atomic { !bucket_locked -> bucket_locked = true };
	/* [wait] futex_wait_setup() */
	if
	:: memory[WORD] == OWNED ->
		queued = true;
#ifdef WAITER_COUNTED_AFTER_READ
		atomic {
			may_exchange(OTHER, COUNTER);
			exchange(OTHER, COUNTER, memory[COUNTER] + 1)
		};
#endif
		/* An unlock has release semantics. */
		full_barrier(OTHER);
		atomic {
			bucket_locked = false;
			promise(no_waiter_sleeps_for_ever, !owner_done)
		}
	:: atomic { memory[WORD] != OWNED -> witness(WORD_FOUND_CHANGED, true) };
		full_barrier(OTHER);
		bucket_locked = false
	fi
}

#else

proctype owner()
{
	byte next;
	bool read;

	store(OWNER, DATA, 1);
	if
	:: PATH == MARK		/* The entry is still on the list. */
	:: PATH != MARK -> store(OWNER, LINK, NULL)	/* [6] */
	fi;
	let_go()
}

proctype other()
{
	byte data;
	bool read;

#ifdef ACQUIRE_TAKEN_OUT
	if
	:: MEMORY == WEAK -> data = memory[DATA]; read = true
	:: true
	fi;
#endif
	/* [2] An exchange with acquire */
	atomic {
		memory[WORD] != OWNED && may_exchange(OTHER, WORD);
		exchange(OTHER, WORD, OF_NEXT_OWNER);
		witness(LOCK_HANDED_OVER, true);
		witness(STORE_LATE, len(buffer[OWNER]) > 0)
	};
	if
	:: read
	:: !read -> data = memory[DATA]
	fi;
	promise(next_owner_sees_the_data, data == 1);
	store(OTHER, LINK, OF_NEXT_OWNER);		/* [3] */
	atomic {
		empty(buffer[OTHER]) && empty(buffer[OWNER]);
#ifndef NO_LINK
		promise(link_is_the_owners, memory[LINK] == OF_NEXT_OWNER)
#else
		skip
#endif
	}
}

#endif

init {
	atomic {
		memory[WORD] = OWNED;
		memory[LINK] = OWNED;
		run owner();
		run other();
		run drain(OWNER);
		run drain(OTHER)
	}
}
