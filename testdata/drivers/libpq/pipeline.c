/* Pipeline mode: many statements before an answer is read, with errors among them, several Syncs and none. */
#include "report.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The next result of a pipeline: of a statement, whose end is read too, or of a Sync. */
static PGresult *next(PGconn *conn)
{
	PGresult *result = keep(PQgetResult(conn));
	if (result && PQresultStatus(result) != PGRES_PIPELINE_SYNC) expect(PQgetResult(conn) == NULL);
	return result;
}

static void wants(PGconn *conn, ExecStatusType status)
{
	PGresult *result = next(conn);
	if (!result) fail("no result, want %s", PQresStatus(status));
	if (PQresultStatus(result) != status) fail("got %s, want %s: %s", PQresStatus(PQresultStatus(result)), PQresStatus(status), PQresultErrorMessage(result));
}

static void insert(PGconn *conn, const char *tenant, int id)
{
	char number[20], email[20];
	snprintf(number, sizeof number, "%d", id);
	snprintf(email, sizeof email, "%d@x", id);
	const char *args[] = {tenant, number, email, "n"};
	expect(PQsendQueryParams(conn, INSERT, 4, NULL, args, NULL, NULL, 0));
}

static void several(PGconn *conn)
{
	for (int i = 0; i < 300; i++)
		insert(conn, A, 1000 + i);
	expect(PQpipelineSync(conn));
	for (int i = 0; i < 300; i++)
		wants(conn, PGRES_COMMAND_OK);
	wants(conn, PGRES_PIPELINE_SYNC);
}

/* An error: what is before it in the same transaction is undone, what comes after is skipped up to the Sync, and after that all is well. */
static void wrong(PGconn *conn)
{
	insert(conn, A, 2000);
	insert(conn, A, 1000);
	insert(conn, A, 2001);
	expect(PQpipelineSync(conn));
	insert(conn, A, 2002);
	expect(PQpipelineSync(conn));
	wants(conn, PGRES_COMMAND_OK);
	PGresult *result = next(conn);
	expect(strcmp(state_of(result), "23505") == 0);
	wants(conn, PGRES_PIPELINE_ABORTED);
	wants(conn, PGRES_PIPELINE_SYNC);
	wants(conn, PGRES_COMMAND_OK);
	wants(conn, PGRES_PIPELINE_SYNC);
}

/* Statements of two shards, with a Sync after each: nobody waits in between. */
static void across(PGconn *conn)
{
	for (int i = 0; i < 100; i++) {
		expect(PQsendQueryParams(conn, "select name from users where tenant_id = $1 and id = 1", 1, NULL, i % 2 ? &A : &B, NULL, NULL, 0));
		expect(PQpipelineSync(conn));
	}
	for (int i = 0; i < 100; i++) {
		PGresult *result = next(conn);
		expect(result && PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "User 1") == 0);
		wants(conn, PGRES_PIPELINE_SYNC);
	}
}

/* A Flush and no Sync: the answers come all the same. */
static void flushed(PGconn *conn)
{
	expect(PQsendPrepare(conn, "piped", "select $1::int from users where tenant_id = $2 and id = 1", 0, NULL));
	for (int i = 0; i < 50; i++)
		expect(PQsendQueryPrepared(conn, "piped", 2, (const char *[]){"7", A}, NULL, NULL, 0));
	expect(PQsendDescribePrepared(conn, "piped"));
	expect(PQsendFlushRequest(conn));
	PQflush(conn);
	wants(conn, PGRES_COMMAND_OK);
	for (int i = 0; i < 50; i++)
		wants(conn, PGRES_TUPLES_OK);
	wants(conn, PGRES_COMMAND_OK);
	expect(PQpipelineSync(conn));
	wants(conn, PGRES_PIPELINE_SYNC);
}

/* A transaction over several Syncs, with settings, a savepoint and an error. */
static void transaction(PGconn *conn)
{
	static const char *steps[] = {"begin", "set local time zone 'Asia/Tokyo'", "savepoint s", "select 1/0", "rollback to s", "show timezone", "commit", "show timezone"};
	for (int i = 0; i < 8; i++) {
		expect(PQsendQueryParams(conn, steps[i], 0, NULL, NULL, NULL, NULL, 0));
		expect(PQpipelineSync(conn));
	}
	for (int i = 0; i < 8; i++) {
		PGresult *result = next(conn);
		expect(result != NULL);
		if (strcmp(state_of(result), i == 3 ? "22012" : "") != 0) fail("%s: %s", steps[i], PQresultErrorMessage(result));
		if (i == 5) expect(strcmp(PQgetvalue(result, 0, 0), "Asia/Tokyo") == 0);
		if (i == 7) expect(strcmp(PQgetvalue(result, 0, 0), "Asia/Tokyo") != 0);
		wants(conn, PGRES_PIPELINE_SYNC);
	}
}

/* More than sockets hold in either direction: statements and rows are on their way at once. */
static void large(PGconn *conn)
{
	static char text[20000];
	memset(text, 'x', sizeof text - 1);
	int sent = 0, got = 0, count = 2000;
	expect(PQsetnonblocking(conn, 1) == 0);
	while (got < count) {
		struct pollfd fd = {PQsocket(conn), POLLIN | POLLOUT, 0};
		expect(poll(&fd, 1, 10000) > 0);
		if (fd.revents & POLLOUT && PQflush(conn) == 0 && sent < count) {
			const char *args[] = {text, A};
			expect(PQsendQueryParams(conn, "select $1::text || $1 from users where tenant_id = $2 and id = 1", 2, NULL, args, NULL, NULL, 0));
			if (++sent % 50 == 0) expect(PQpipelineSync(conn));
		}
		if (!(fd.revents & POLLIN)) continue;
		expect(PQconsumeInput(conn));
		while (got < count && !PQisBusy(conn)) {
			PGresult *result = PQgetResult(conn);
			if (!result) {
				if (sent == got) break;
				continue;
			}
			int rows = PQntuples(result);
			ExecStatusType status = PQresultStatus(result);
			PQclear(result);
			if (status == PGRES_TUPLES_OK) got += rows;
			else expect(status == PGRES_PIPELINE_SYNC);
		}
	}
	expect(PQsetnonblocking(conn, 0) == 0);
	for (PGresult *result = NULL; got > 0 && (!result || PQresultStatus(result) != PGRES_PIPELINE_SYNC);)
		result = keep(PQgetResult(conn));
}

void check_batch(void)
{
	PGconn *conn = scene();
	expect(PQenterPipelineMode(conn));
	several(conn);
	wrong(conn);
	across(conn);
	flushed(conn);
	transaction(conn);
	large(conn);
	expect(PQexitPipelineMode(conn));
	expect(made(conn, A) == 301);
}

void check_multi(void)
{
	PGconn *conn = scene();
	char text[400];
	snprintf(text, sizeof text, "insert into users (tenant_id, id, email, name) values (%s, 1000, 'a', 'm'); select count(*) from users where tenant_id = %s; ;", A, A);
	expect(PQsendQuery(conn, text));
	expect(strcmp(PQcmdStatus(keep(PQgetResult(conn))), "INSERT 0 1") == 0);
	expect(strcmp(PQgetvalue(keep(PQgetResult(conn)), 0, 0), "4") == 0);
	expect(PQgetResult(conn) == NULL);
	snprintf(text, sizeof text, "insert into users (tenant_id, id, email, name) values (%s, 1001, 'b', 'm'); select 1/0; select 1", A);
	simple(conn, "22012", text);
	expect(made(conn, A) == 1);
	snprintf(text, sizeof text, "insert into users (tenant_id, id, email, name) values (%s, 1001, 'b', 'm'); commit; select 1/0", A);
	simple(conn, "22012", text);
	expect(made(conn, A) == 2);
}
