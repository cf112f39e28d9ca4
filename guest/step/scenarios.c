// SPDX-License-Identifier: GPL-2.0
/* The scenarios: the preparation at full speed, and the function that is stepped. */
#define _GNU_SOURCE
#include "step.h"

#include <errno.h>
#include <unistd.h>

struct stage *stage;

/*
 * The functions. Each, except a trylock that fails, begins a payment when it has the
 * lock, so that the death leaves inconsistent data.
 */

static void nothing(void)
{
}

static void pay_first(void)
{
	stage->first -= 40;
}

static void act_lock(void)
{
	/* If the last owner has died: it left consistent data. */
	if (pthread_mutex_lock(&stage->mutex) == EOWNERDEAD)
		pthread_mutex_consistent(&stage->mutex);
	pay_first();
}

static void act_trylock(void)
{
	int result = pthread_mutex_trylock(&stage->mutex);

	if (result == EOWNERDEAD)
		pthread_mutex_consistent(&stage->mutex);
	if (result != EBUSY)
		pay_first();
}

static void act_timedlock(void)
{
	pthread_mutex_timedlock(&stage->mutex, &stage->far);
	pay_first();
}

static void before_unlock(void)
{
	pthread_mutex_lock(&stage->mutex);
	pay_first();
}

static void act_unlock(void)
{
	stage->second += 40;
	pthread_mutex_unlock(&stage->mutex);
}

static void before_consistent(void)
{
	if (pthread_mutex_lock(&stage->mutex) != EOWNERDEAD)
		_exit(1);
}

static void act_consistent(void)
{
	pay_first();
	stage->second += 40;
	pthread_mutex_consistent(&stage->mutex);
	pthread_mutex_unlock(&stage->mutex);
}

static void before_wait(void)
{
	pthread_mutex_lock(&stage->mutex);
}

static void act_wait(void)
{
	while (!stage->ready)
		pthread_cond_wait(&stage->cond, &stage->mutex);
	pay_first();
}

static void act_timedwait(void)
{
	while (!stage->ready)
		pthread_cond_timedwait(&stage->cond, &stage->mutex, &stage->far);
	pay_first();
}

/* A name alone on its line is that of a test which needs robust futexes. */
const struct scenario scenarios[] = {
	{
		.name = "step.lock_free",
		.before = nothing, .act = act_lock,
	}, {
		.name = "step.lock_held",
		.before = nothing, .act = act_lock, .held = true,
	}, {
		.name = "step.lock_left",
		.before = nothing, .act = act_lock, .left = true,
	}, {
		.name = "step.trylock_free",
		.before = nothing, .act = act_trylock,
	}, {
		.name = "step.trylock_held", .held = true, .awaited = true,
		.before = nothing, .act = act_trylock,
	}, {
		.name = "step.trylock_left",
		.before = nothing, .act = act_trylock, .left = true,
	}, {
		.name = "step.timedlock_free",
		.before = nothing, .act = act_timedlock,
	}, {
		.name = "step.timedlock_held",
		.before = nothing, .act = act_timedlock, .held = true,
	}, {
		.name = "step.unlock",
		.before = before_unlock, .act = act_unlock,
	}, {
		.name = "step.unlock_awaited",
		.before = before_unlock, .act = act_unlock, .awaited = true,
	}, {
		.name = "step.consistent_awaited",
		.before = before_consistent, .act = act_consistent, .left = true, .awaited = true,
	}, {
		.name = "step.cond_wait_awaited",
		.before = before_wait, .act = act_wait, .awaited = true, .cond = true,
	}, {
		.name = "step.cond_timedwait_awaited",
		.before = before_wait, .act = act_timedwait, .awaited = true, .cond = true,
	}, {}
};
