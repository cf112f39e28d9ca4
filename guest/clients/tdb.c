// SPDX-License-Identifier: GPL-2.0
/*
 * Writers of a TDB database, Samba's, that are killed: see parts/records.h for the
 * tests.
 *
 * With TDB_MUTEX_LOCKING the locks of the hash chains, and that of the whole database,
 * are robust mutexes in the file. A process that finds a transaction that was interrupted
 * in its commit rolls it back.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tdb.h>
#include <unistd.h>

#include "parts/records.h"
#include "parts/util.h"

static struct tdb_context *database;
static char path[64];

static const char *text(int error)
{
	return error ? tdb_errorstr(database) : NULL;
}

static TDB_DATA name_of(const struct key *key)
{
	TDB_DATA name = { .dptr = (unsigned char *)key, .dsize = sizeof(*key) };

	return name;
}

/* The root keeps it open: otherwise the first process to open it would empty it. */
static const char *reopen(void)
{
	return tdb_reopen(database) ? "cannot be opened again" : NULL;
}

static const char *begin(int writing)
{
	return writing ? text(tdb_transaction_start(database)) : NULL;
}

static const char *get(const struct key *key, unsigned char *value, int *length)
{
	TDB_DATA data = tdb_fetch(database, name_of(key));

	*length = -1;
	if (!data.dptr)
		return tdb_error(database) == TDB_ERR_NOEXIST ? NULL : text(1);
	if (data.dsize > VALUE_MAX) {
		free(data.dptr);
		return "a record is too long";
	}
	*length = data.dsize;
	memcpy(value, data.dptr, data.dsize);
	free(data.dptr);
	return NULL;
}

static const char *put(const struct key *key, const unsigned char *value, int length)
{
	TDB_DATA data = { .dptr = (unsigned char *)value, .dsize = length };

	return text(tdb_store(database, name_of(key), data, TDB_REPLACE));
}

static const char *remove_record(const struct key *key)
{
	if (!tdb_delete(database, name_of(key)) || tdb_error(database) == TDB_ERR_NOEXIST)
		return NULL;
	return text(1);
}

static const char *commit(void)
{
	return text(tdb_transaction_commit(database));
}

static void end_reading(void)
{
}

static const char *hold(const struct key *key)
{
	if (tdb_chainlock(database, name_of(key)))
		return text(1);
	linger();
	return text(tdb_chainunlock(database, name_of(key)));
}

static int look_at(struct tdb_context *context, TDB_DATA name, TDB_DATA data, void *count)
{
	unsigned char wanted[VALUE_MAX];
	struct key key;

	(void)context;
	if (name.dsize != sizeof(key))
		return -1;
	memcpy(&key, name.dptr, sizeof(key));
	if (key.writer && ((int)data.dsize != make_value(&key, wanted) ||
			   memcmp(data.dptr, wanted, data.dsize)))
		return -1;
	++*(int *)count;
	return 0;
}

static const char *examine(void)
{
	int found = 0;

	if (tdb_check(database, NULL, NULL))
		return "tdb_check() finds fault";
	if (tdb_traverse_read(database, look_at, &found) != found)
		return "a record has wrong contents";
	return NULL;
}

static void log_message(struct tdb_context *context, enum tdb_debug_level level,
			const char *format, ...)
{
	char message[256];
	va_list arguments;

	(void)context;
	if (level == TDB_DEBUG_TRACE)
		return;
	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	message[strcspn(message, "\n")] = 0;
	/* The message that it rolled a transaction back is expected. */
	if (!strstr(message, "recovery") || level == TDB_DEBUG_FATAL)
		diag("tdb: %s", message);
}

/*
 * TDB is not consistent after a kill while a commit extends its file, or moves its
 * recovery area to a larger one: on any kernel, some of these tests then found a database
 * with lost space, or one that stayed locked. So the file is extended before the first
 * kill, by two transactions that are larger than all later ones.
 */
static const char *make_room(void)
{
	static unsigned char value[4096];
	struct key key = { .writer = WRITERS + 1 };

	for (int turn = 0; turn < 2; turn++) {
		if (begin(1))
			return text(1);
		for (key.number = 1; key.number <= 500; key.number++) {
			if (turn ? remove_record(&key) : put(&key, value, sizeof(value)))
				return text(1);
		}
		if (commit())
			return text(1);
	}
	return NULL;
}

static const char *create(void)
{
	struct tdb_logging_context logging = { .log_fn = log_message };

	if (!tdb_runtime_check_for_robust_mutexes())
		return "tdb finds no robust mutexes here";
	snprintf(path, sizeof(path), "/dev/shm/tdb.%d", getpid());
	database = tdb_open_ex(path, 127,
			       TDB_MUTEX_LOCKING | TDB_CLEAR_IF_FIRST | TDB_INCOMPATIBLE_HASH,
			       O_RDWR | O_CREAT | O_EXCL, 0600, &logging, NULL);
	if (!database)
		return "cannot make a database in /dev/shm";
	if (!(tdb_get_flags(database) & TDB_MUTEX_LOCKING))
		return "tdb does not use its mutexes";
	return make_room();
}

static void remove_files(void)
{
	unlink(path);
}

int main(int argc, char **argv)
{
	static const struct store tdb = {
		.tests = RECORD_TESTS("tdb"),
		.create = create,
		.remove_files = remove_files,
		.open = reopen,
		.begin = begin,
		.get = get,
		.put = put,
		.remove = remove_record,
		.commit = commit,
		.end_reading = end_reading,
		.hold = hold,
		.examine = examine,
	};

	return records_main(&tdb, argc, argv);
}
