/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM futex

#if !defined(_TRACE_FUTEX_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_FUTEX_H

#include <linux/kdev_t.h>
#include <linux/sched.h>
#include <linux/tracepoint.h>

struct robust_lock_record;
struct robust_walk_record;

int robust_trace_reg(void);
void robust_trace_unreg(void);

TRACE_DEFINE_ENUM(ROBUST_END_LIST);
TRACE_DEFINE_ENUM(ROBUST_END_NULL);
TRACE_DEFINE_ENUM(ROBUST_END_LINK);
TRACE_DEFINE_ENUM(ROBUST_END_TRIES);
TRACE_DEFINE_ENUM(ROBUST_END_VISITS);
TRACE_DEFINE_ENUM(ROBUST_END_TIME);

TRACE_DEFINE_ENUM(ROBUST_CLEAR_CALL);
TRACE_DEFINE_ENUM(ROBUST_CLEAR_SIGNAL);
TRACE_DEFINE_ENUM(ROBUST_CLEAR_EXIT);

/*
 * The fields are described in Documentation/trace/events-futex.rst. @signal and
 * @status are the two parts of an exit code, both 0 in an exec.
 */
DECLARE_EVENT_CLASS(robust_lock,

	TP_PROTO(const struct robust_lock_record *lock),

	TP_ARGS(lock),

	TP_STRUCT__entry(
		__array(char, comm, TASK_COMM_LEN)
		__field(u64, ino)
		__field(u64, offset)
		__field(unsigned long, address)
		__field(pid_t, pid)
		__field(pid_t, tgid)
		__field(u32, tid)
		__field(u32, value)
		__field(u32, dev)
		__field(u32, woken)
		__field(u8, exec)
		__field(u8, signal)
		__field(u8, status)
		__field(u8, compat)
		__field(u8, pending)
		__field(u8, pi)
		__field(u8, located)
	),

	TP_fast_assign(
		memcpy(__entry->comm, current->comm, TASK_COMM_LEN);
		__entry->ino		= lock->ino;
		__entry->offset		= lock->offset;
		__entry->address	= lock->address;
		__entry->pid		= current->pid;
		__entry->tgid		= current->tgid;
		__entry->tid		= lock->walk->tid;
		__entry->value		= lock->value;
		__entry->dev		= lock->dev;
		__entry->woken		= lock->woken;
		__entry->exec		= lock->walk->exec;
		__entry->signal		= current->exit_code & 0x7f;
		__entry->status		= current->exit_code >> 8;
		__entry->compat		= lock->walk->compat;
		__entry->pending	= lock->pending;
		__entry->pi		= lock->pi;
		__entry->located	= lock->located;
	),

	TP_printk("comm=%s pid=%d tgid=%d tid=%u exec=%u signal=%u status=%u address=0x%lx value=0x%x compat=%u pending=%u pi=%u woken=%u located=%u dev=%u:%u ino=%llu offset=%llu",
		  __entry->comm, __entry->pid, __entry->tgid, __entry->tid,
		  __entry->exec, __entry->signal, __entry->status,
		  __entry->address, __entry->value, __entry->compat,
		  __entry->pending, __entry->pi, __entry->woken, __entry->located,
		  MAJOR(__entry->dev), MINOR(__entry->dev),
		  (unsigned long long)__entry->ino,
		  (unsigned long long)__entry->offset)
);

/* A lock was marked with FUTEX_OWNER_DIED, and @woken waiters were woken. */
DEFINE_EVENT_FN(robust_lock, robust_mark,

	TP_PROTO(const struct robust_lock_record *lock),

	TP_ARGS(lock),

	robust_trace_reg, robust_trace_unreg
);

/* The task did not hold the lock of list_op_pending, but may owe it a wakeup. */
DEFINE_EVENT_FN(robust_lock, robust_wake,

	TP_PROTO(const struct robust_lock_record *lock),

	TP_ARGS(lock),

	robust_trace_reg, robust_trace_unreg
);

/* The walk of a list that was not empty is over. */
TRACE_EVENT_FN(robust_walk,

	TP_PROTO(const struct robust_walk_record *walk),

	TP_ARGS(walk),

	TP_STRUCT__entry(
		__array(char, comm, TASK_COMM_LEN)
		__field(u64, time)
		__field(unsigned long, head)
		__field(pid_t, pid)
		__field(pid_t, tgid)
		__field(u32, tid)
		__field(u32, marked)
		__field(u32, woken)
		__field(u32, not_held)
		__field(u32, faults)
		__field(u32, visits)
		__field(u8, exec)
		__field(u8, signal)
		__field(u8, status)
		__field(u8, compat)
		__field(u8, reason)
	),

	TP_fast_assign(
		memcpy(__entry->comm, current->comm, TASK_COMM_LEN);
		__entry->time		= walk->time;
		__entry->head		= walk->head;
		__entry->pid		= current->pid;
		__entry->tgid		= current->tgid;
		__entry->tid		= walk->tid;
		__entry->marked		= walk->marked;
		__entry->woken		= walk->woken;
		__entry->not_held	= walk->not_held;
		__entry->faults		= walk->faults;
		__entry->visits		= walk->visits;
		__entry->exec		= walk->exec;
		__entry->signal		= current->exit_code & 0x7f;
		__entry->status		= current->exit_code >> 8;
		__entry->compat		= walk->compat;
		__entry->reason		= walk->reason;
	),

	TP_printk("comm=%s pid=%d tgid=%d tid=%u exec=%u signal=%u status=%u head=0x%lx compat=%u marked=%u woken=%u not_held=%u faults=%u visits=%u time=%llu reason=%s",
		  __entry->comm, __entry->pid, __entry->tgid, __entry->tid,
		  __entry->exec, __entry->signal, __entry->status,
		  __entry->head, __entry->compat, __entry->marked,
		  __entry->woken, __entry->not_held, __entry->faults,
		  __entry->visits, (unsigned long long)__entry->time,
		  __print_symbolic(__entry->reason,
				   { ROBUST_END_LIST, "end" },
				   { ROBUST_END_NULL, "null" },
				   { ROBUST_END_LINK, "unreadable" },
				   { ROBUST_END_TRIES, "tries" },
				   { ROBUST_END_VISITS, "visits" },
				   { ROBUST_END_TIME, "time" })),

	robust_trace_reg, robust_trace_unreg
);

/*
 * list_op_pending was cleared by the kernel, as its lock was released. This is no
 * event of a walk, and does not change how lists are walked.
 */
TRACE_EVENT(robust_clear,

	TP_PROTO(unsigned long address, unsigned int size, u8 by),

	TP_ARGS(address, size, by),

	TP_STRUCT__entry(
		__array(char, comm, TASK_COMM_LEN)
		__field(unsigned long, address)
		__field(pid_t, pid)
		__field(pid_t, tgid)
		__field(u8, size)
		__field(u8, by)
	),

	TP_fast_assign(
		memcpy(__entry->comm, current->comm, TASK_COMM_LEN);
		__entry->address	= address;
		__entry->pid		= current->pid;
		__entry->tgid		= current->tgid;
		__entry->size		= size;
		__entry->by		= by;
	),

	TP_printk("comm=%s pid=%d tgid=%d address=0x%lx size=%u by=%s",
		  __entry->comm, __entry->pid, __entry->tgid,
		  __entry->address, __entry->size,
		  __print_symbolic(__entry->by,
				   { ROBUST_CLEAR_CALL, "call" },
				   { ROBUST_CLEAR_SIGNAL, "signal" },
				   { ROBUST_CLEAR_EXIT, "exit" }))
);

#endif /* _TRACE_FUTEX_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
