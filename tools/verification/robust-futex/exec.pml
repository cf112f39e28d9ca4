/* SPDX-License-Identifier: GPL-2.0 */
/*
 * exec - a thread that owns a lock runs another program
 *
 * What it models: a process of two threads, the leader of the process and one
 * more. Either of them execs while it owns a robust mutex; the other one is its
 * sibling. The exec may fail before it kills the sibling, a kill may arrive at
 * any moment, also during the walk of the exec, and the sibling goes on in user
 * space until it finds out that it was killed. A thread of another process, the
 * outsider, wants the lock too. Besides, an asker calls get_robust_list().
 *
 * What it shows:
 *
 *   no_lock_for_siblings	no sibling gets a lock that an exec has marked
 *   lock_is_marked		when the new program runs, or the thread has
 *				exited, it does not own the lock
 *   failed_exec_keeps_lock	a thread whose exec has failed still owns it
 *   no_foreign_word		a walk writes words of its own TID only, and only
 *				in the memory of the program that registered
 *   kill_is_not_lost		no killed thread comes to run the new program
 *   answer_of_checked_program	get_robust_list() never tells a pointer of a
 *				program that was not checked
 *   no_waiter_sleeps_for_ever	when nothing can run any more, no thread sleeps
 *
 * Its result must be: no error. With a broken variant, an error of the property
 * that the file `expectations` names beside it. The names are those of the
 * kernel's mutants where the mistake is the same.
 *
 * [walk] stands for exit_robust_list(); [exec] for the steps of begin_new_exec()
 * and for de_thread() and exec_mmap() within, in fs/exec.c; [release] for
 * futex_exec_release(); [ask] for robust_list_lookup(). Lists, wakeups and
 * list_op_pending are shown in detail by lock.pml: here a lock is on the list of
 * its owner or it is not, a walk is a step for each word, and a wait and a wakeup
 * are a step each. PI futexes are not modelled.
 */

/* Threads: 0 and 1 of one process, of which 0 is the leader, and the outsider */
#define OUTSIDER	2
#define TID_MASK	3
#define WAITERS		4
#define OWNER_DIED	8
#define tid_of(value)	((value) & TID_MASK)

byte tid[3];			/* what gettid() returns */
byte word;			/* of the lock */
byte owner = 3;			/* thread by the steps made; 3: none */
#define NO_THREAD	3
bool marked_by_exec;		/* and not taken since */
bool killed[3];			/* SIGKILL is pending */
bool gone[3];			/* has walked its list and exited */
bool asleep[3];
bool execs[3];
byte list[3] = 1;		/* program that registered a list; 0: none */
byte program = 1;		/* 1 is the old one, 2 the new one */
bool update_lock;		/* exec_update_lock, held for writing */
bool killed_from_outside;

hidden byte no_lock_for_siblings, lock_is_marked, failed_exec_keeps_lock,
	no_foreign_word, kill_is_not_lost, answer_of_checked_program,
	no_waiter_sleeps_for_ever;
#define promise(name, condition)	assert((condition) || name)

/* What must be reached, or the model shows nothing: -DWITNESS=NAME */
#define NEW_PROGRAM_OF_THE_LEADER	1
#define NEW_PROGRAM_OF_THE_OTHER	2
#define EXEC_FAILED			3
#define EXEC_KILLED_WAITING		4
#define EXEC_KILLED_IN_ITS_WALK		5
#define SIBLING_DIES_AS_OWNER		6
#define OUTSIDER_GETS_IT_BY_EXEC	7
#define ASKER_GETS_A_POINTER		8
#define SIBLING_TAKES_IT_WHEN_KILLED	9
hidden byte witness_reached;
#ifdef WITNESS
#define witness(name, condition)					\
	assert(!(name == WITNESS && (condition)) || witness_reached)
#else
#define witness(name, condition)	skip
#endif

#define runs(t)		(!gone[t] && !asleep[t])
#define promise_of_sleepers()						\
	promise(no_waiter_sleeps_for_ever, runs(0) || runs(1) || runs(2) || \
		(!asleep[0] && !asleep[1] && !asleep[2]))

/* [wake] one waiter, whichever it is */
inline futex_wake()
{
	if
	:: asleep[0] -> asleep[0] = false
	:: asleep[1] -> asleep[1] = false
	:: asleep[2] -> asleep[2] = false
	:: !asleep[0] && !asleep[1] && !asleep[2]
	fi
}

/*
 * [walk] Mark the lock if the list has it and it carries the TID. The list has
 * it if the thread owns it, and so has what was registered by a new program's
 * predecessor: an address, at which there may be any number.
 */
inline walk(by_exec)
{
	atomic {
		if
		:: list[me] == 0
		:: list[me] != 0 ->
			promise(no_foreign_word, list[me] == program || !execs[me]);
			if
			:: owner == me && tid_of(word) == tid[me] ->
				waiters = word & WAITERS;
				word = waiters | OWNER_DIED;
				owner = NO_THREAD;
				marked_by_exec = by_exec;
				witness(SIBLING_DIES_AS_OWNER, !by_exec && execs[1 - me])
			:: else
			fi
		fi
	};
	atomic {
		if
		:: waiters -> waiters = 0; futex_wake()
		:: !waiters
		fi
	}
}

/* A walk of an exec may take its time, and a kill may come during it. */
inline exec_walk()
{
	walk(true);
	atomic {
#ifdef EXEC_LOSES_KILL
		killed[me] = false;
#endif
		witness(EXEC_KILLED_IN_ITS_WALK, killed[me]);
#if !defined(EXEC_KEEPS_NATIVE_LIST) && !defined(EXEC_DOES_NOT_WALK)
		list[me] = 0
#endif
	}
}

proctype thread(byte me)
{
	byte waiters, value;

	if
	:: execs[me] -> goto exec
	:: !execs[me]
	fi;

	/* The sibling and the outsider: take the lock once, and release it. */
again:
	value = word;
	if
	:: atomic {
		tid_of(value) == 0 ->
		if
		:: word == value ->
			word = tid[me] | (value & WAITERS) | waiters;
			owner = me;
			promise(no_lock_for_siblings, me == OUTSIDER || !marked_by_exec);
			witness(OUTSIDER_GETS_IT_BY_EXEC, marked_by_exec);
			witness(SIBLING_TAKES_IT_WHEN_KILLED, me != OUTSIDER && killed[me]);
			marked_by_exec = false
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
		atomic {
			if
			:: word == (value | WAITERS) && (me == OUTSIDER || !killed[me]) ->
				asleep[me] = true;
				promise_of_sleepers()
			:: else
			fi
		};
		if
		:: !asleep[me]
		:: atomic { asleep[me] && me != OUTSIDER && killed[me] ->
			asleep[me] = false
		}; goto dying
		fi;
		goto again
	:: me != OUTSIDER && killed[me] -> goto dying
	fi;
	if
	:: atomic { value = word; word = 0; owner = NO_THREAD }
	:: me != OUTSIDER && killed[me] -> goto dying
	fi;
	atomic {
		if
		:: value & WAITERS -> futex_wake()
		:: !(value & WAITERS)
		fi;
		waiters = 0
	};
	goto dying;

	/* The thread that execs owns the lock. */
exec:
#ifdef EXEC_WALKS_BEFORE_OPEN
	exec_walk();
#endif
	if
	/* [exec] no such program, or not one that can be run */
	:: atomic {
		witness(EXEC_FAILED, true);
		promise(failed_exec_keeps_lock, owner == me && tid_of(word) == tid[me])
	}; goto user
	/* [exec] the point of no return */
	:: true
	:: killed[me] -> goto dying
	fi;
#ifdef EXEC_WALKS_BEFORE_SIBLINGS_DEAD
	exec_walk();
#endif
	/* [exec] de_thread(): kill the sibling, and wait until it is dead. */
	killed[1 - me] = true;
	if
	:: gone[1 - me]
	:: atomic {
		killed[me] && !gone[1 - me] ->
		witness(EXEC_KILLED_WAITING, true)
	}; goto dying
	fi;
	/* [exec] de_thread(): not the leader, which is a zombie by now */
	if
	:: me == 1 ->
#if !defined(EXEC_WALKS_AFTER_TID_CHANGE) && !defined(EXEC_DOES_NOT_WALK)
		exec_walk();
#endif
		tid[me] = tid[0]
	:: me == 0
	fi;
	/* [release] exec_mmap(): leave the memory of the old program. */
#ifndef EXEC_DOES_NOT_WALK
	exec_walk();
#endif
	/* [exec] From here to the credentials exec_update_lock is held. */
	atomic { !update_lock -> update_lock = true };
	program = 2;
	update_lock = false;
	/* [exec] On its way to the new program the thread finds a kill. */
	if
	:: killed[me] -> goto dying
	:: atomic {
		!killed[me] ->
		promise(lock_is_marked, owner != me);
		promise(kill_is_not_lost, !killed_from_outside);
		witness(NEW_PROGRAM_OF_THE_LEADER, me == 0);
		witness(NEW_PROGRAM_OF_THE_OTHER, me == 1)
	}
	fi;
	/* It registers a list, or not. */
	if
	:: list[me] = 2
	:: true
	fi;
	goto dying;

	/* The exec has failed, and the old program goes on. */
user:
	if
	:: atomic {
		value = word; word = 0; owner = NO_THREAD;
		if
		:: value & WAITERS -> futex_wake()
		:: !(value & WAITERS)
		fi
	}
	:: killed[me] -> goto dying
	fi;

dying:
	if
	:: me != OUTSIDER -> walk(false)
	:: me == OUTSIDER
	fi;
	atomic {
		value = 0;
		gone[me] = true;
		promise(lock_is_marked, owner != me);
		promise_of_sleepers()
	}
}

/* A kill of the whole process, at any moment or never */
proctype killer()
{
	atomic {
		killed[0] = true;
		killed[1] = true;
		killed_from_outside = true
	}
}

/*
 * [ask] get_robust_list() for the thread that execs: the caller may look at the
 * old program and not at the new one.
 */
proctype asker(byte whom)
{
	byte checked, answer;

	/* Readers do not exclude each other; there is one only. */
#ifndef GET_READS_LIST_AFTER_UNLOCK
	atomic { !update_lock -> update_lock = true };
#endif
	checked = program;
	if
	:: checked == 1 ->
		atomic {
			answer = list[whom];
			witness(ASKER_GETS_A_POINTER, answer == 1);
			promise(answer_of_checked_program, answer != 2)
		}
	:: checked == 2
	fi;
#ifndef GET_READS_LIST_AFTER_UNLOCK
	update_lock = false
#endif
}

init {
	byte me;

	atomic {
		if
		:: me = 0
		:: me = 1
		fi;
		execs[me] = true;
		tid[0] = 1; tid[1] = 2; tid[2] = 3;
		owner = me;
		word = tid[me];
		run thread(0);
		run thread(1);
		run thread(OUTSIDER);
		run asker(me);
		if
		:: run killer()
		:: true
		fi
	}
}
