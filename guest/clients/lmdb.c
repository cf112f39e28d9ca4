// SPDX-License-Identifier: GPL-2.0
/*
 * Writers of an LMDB database that are killed: see parts/records.h for the tests.
 *
 * LMDB protects its writers, and the table of its readers, by robust mutexes in a file
 * that all processes map. The process that gets EOWNERDEAD continues from the last
 * committed transaction.
 */
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parts/records.h"

#define DIRECTORY	"/dev/shm/lmdb"

static MDB_env *environment;
static MDB_txn *transaction;
static MDB_dbi database;
static char directory[64];

static const char *text(int error)
{
	return error ? mdb_strerror(error) : NULL;
}

/* An environment must not be used in a child of the process that opened it. */
static const char *open_environment(void)
{
	int error;

	environment = NULL;
	error = mdb_env_create(&environment);
	if (!error)
		error = mdb_env_set_mapsize(environment, 128 * 1024 * 1024);
	if (!error)
		error = mdb_env_open(environment, directory, 0, 0600);
	if (!error)
		error = mdb_txn_begin(environment, NULL, 0, &transaction);
	if (!error)
		error = mdb_dbi_open(transaction, NULL, 0, &database);
	if (!error)
		error = mdb_txn_commit(transaction);
	return text(error);
}

static const char *begin(int writing)
{
	int error, dead;

	error = mdb_txn_begin(environment, NULL, writing ? 0 : MDB_RDONLY, &transaction);
	if (error == MDB_READERS_FULL) {
		/* The killed ones have left their slots in use. */
		error = mdb_reader_check(environment, &dead);
		if (!error)
			error = mdb_txn_begin(environment, NULL, MDB_RDONLY, &transaction);
	} else if (!error && writing && !any_below(16)) {
		/* Pages that a killed reader has used are not reused before this. */
		error = mdb_reader_check(environment, &dead);
	}
	return text(error);
}

static const char *get(const struct key *key, unsigned char *value, int *length)
{
	MDB_val name = { sizeof(*key), (void *)key }, data;
	int error = mdb_get(transaction, database, &name, &data);

	*length = -1;
	if (error == MDB_NOTFOUND)
		return NULL;
	if (error)
		return text(error);
	if (data.mv_size > VALUE_MAX)
		return "a record is too long";
	*length = data.mv_size;
	memcpy(value, data.mv_data, data.mv_size);
	return NULL;
}

static const char *put(const struct key *key, const unsigned char *value, int length)
{
	MDB_val name = { sizeof(*key), (void *)key }, data = { length, (void *)value };

	return text(mdb_put(transaction, database, &name, &data, 0));
}

static const char *remove_record(const struct key *key)
{
	MDB_val name = { sizeof(*key), (void *)key };
	int error = mdb_del(transaction, database, &name, NULL);

	return error == MDB_NOTFOUND ? NULL : text(error);
}

static const char *commit(void)
{
	return text(mdb_txn_commit(transaction));
}

static void end_reading(void)
{
	mdb_txn_abort(transaction);
}

/* The number of records, in the order of their keys, is that in the tree. */
static const char *examine(void)
{
	unsigned char wanted[VALUE_MAX];
	const char *trouble = NULL;
	MDB_cursor *cursor;
	MDB_val name, data;
	size_t found = 0;
	struct key key;
	MDB_stat stat;
	int error;

	error = mdb_txn_begin(environment, NULL, MDB_RDONLY, &transaction);
	if (!error)
		error = mdb_stat(transaction, database, &stat);
	if (!error)
		error = mdb_cursor_open(transaction, database, &cursor);
	if (error)
		return text(error);
	while (!(error = mdb_cursor_get(cursor, &name, &data, MDB_NEXT))) {
		found++;
		if (name.mv_size != sizeof(key)) {
			trouble = "a key has a wrong length";
			break;
		}
		memcpy(&key, name.mv_data, sizeof(key));
		if (key.writer && ((int)data.mv_size != make_value(&key, wanted) ||
				   memcmp(data.mv_data, wanted, data.mv_size)))
			trouble = "a record has wrong contents";
	}
	if (!trouble && error != MDB_NOTFOUND)
		trouble = text(error);
	if (!trouble && found != stat.ms_entries)
		trouble = "the number of records is wrong";
	mdb_cursor_close(cursor);
	mdb_txn_abort(transaction);
	return trouble;
}

static void remove_files(void)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/data.mdb", directory);
	unlink(path);
	snprintf(path, sizeof(path), "%s/lock.mdb", directory);
	unlink(path);
	rmdir(directory);
}

static const char *create(void)
{
	const char *error;

	snprintf(directory, sizeof(directory), DIRECTORY ".%d", getpid());
	if (mkdir(directory, 0700))
		return "cannot make a directory in /dev/shm";
	error = open_environment();
	if (environment)
		mdb_env_close(environment);
	if (error)
		remove_files();
	return error;
}

int main(int argc, char **argv)
{
	static const struct store lmdb = {
		.tests = RECORD_TESTS("lmdb"),
		.create = create,
		.remove_files = remove_files,
		.open = open_environment,
		.begin = begin,
		.get = get,
		.put = put,
		.remove = remove_record,
		.commit = commit,
		.end_reading = end_reading,
		.examine = examine,
	};

	return records_main(&lmdb, argc, argv);
}
