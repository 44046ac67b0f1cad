/*
 * Loaded into isolationtester, which asks the server whether one of its sessions waits for another, by the process ids that libpq was
 * told at login. Behind a pooler that id is the key for cancel requests; the backend's own is had from the backend. So each session is
 * asked for its backend's id, and the question is put with those. Everything else sees what libpq was told.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libpq-fe.h>

#define SESSIONS 64

static struct { int told, own; } pids[SESSIONS];
static int sessions;

static int own_pid(int told)
{
	for (int i = 0; i < sessions; i++)
		if (pids[i].told == told)
			return pids[i].own;
	return told;
}

int PQbackendPID(const PGconn *conn)
{
	int (*next)(const PGconn *) = (int (*)(const PGconn *)) dlsym(RTLD_NEXT, "PQbackendPID");
	int told = next(conn);
	PGresult *result = PQexec((PGconn *) conn, "SELECT pg_catalog.pg_backend_pid()");

	if (PQresultStatus(result) == PGRES_TUPLES_OK && sessions < SESSIONS)
	{
		pids[sessions].told = told;
		pids[sessions++].own = atoi(PQgetvalue(result, 0, 0));
	}
	PQclear(result);
	return told;
}

/* The question holds the ids of all sessions, as {1,2,3}. */
PGresult *PQprepare(PGconn *conn, const char *name, const char *query, int params, const Oid *types)
{
	PGresult *(*next)(PGconn *, const char *, const char *, int, const Oid *) = (PGresult *(*)(PGconn *, const char *, const char *, int, const Oid *)) dlsym(RTLD_NEXT, "PQprepare");
	const char *list = strchr(query, '{');
	char *changed = malloc(strlen(query) + 16 * SESSIONS);
	PGresult *result;

	if (list == NULL || strstr(query, "session_is_blocked") == NULL)
		strcpy(changed, query);
	else
	{
		int length = (int) (list - query);

		memcpy(changed, query, length);
		while (*list == '{' || *list == ',')
		{
			char *end;
			int told = (int) strtol(list + 1, &end, 10);

			length += sprintf(changed + length, "%c%d", *list, own_pid(told));
			list = end;
		}
		strcpy(changed + length, list);
	}
	result = next(conn, name, changed, params, types);
	free(changed);
	return result;
}

PGresult *PQexecPrepared(PGconn *conn, const char *name, int params, const char *const *values, const int *lengths, const int *formats, int format)
{
	PGresult *(*next)(PGconn *, const char *, int, const char *const *, const int *, const int *, int) =
		(PGresult *(*)(PGconn *, const char *, int, const char *const *, const int *, const int *, int)) dlsym(RTLD_NEXT, "PQexecPrepared");
	char own[16];
	const char *value = own;

	if (params != 1)
		return next(conn, name, params, values, lengths, formats, format);
	snprintf(own, sizeof own, "%d", own_pid(atoi(values[0])));
	return next(conn, name, 1, &value, lengths, formats, format);
}
