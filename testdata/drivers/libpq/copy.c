/* COPY in both directions, and rows one by one. */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char line[200];

/* Sends count lines of COPY data for a tenant, with that in place of the id if it is not NULL, and gives the result. */
static PGresult *feed(PGconn *conn, const char *sql, const char *tenant, const char *id, int count, const char *giving_up)
{
	PGresult *result = keep(PQexec(conn, sql));
	if (PQresultStatus(result) != PGRES_COPY_IN) fail("%s: %s", sql, PQerrorMessage(conn));
	for (int i = 0; i < count; i++) {
		char number[20];
		snprintf(number, sizeof number, "%d", 1000 + i);
		int n = snprintf(line, sizeof line, "%s\t%s\t%d@x\tna\\tme\n", tenant, id ? id : number, i);
		expect(PQputCopyData(conn, line, n) == 1);
	}
	expect(PQputCopyEnd(conn, giving_up) == 1);
	result = keep(PQgetResult(conn));
	expect(PQgetResult(conn) == NULL);
	return result;
}

void check_copy_in(void)
{
	PGconn *conn = scene();
	const char *copy = "copy users (tenant_id, id, email, name) from stdin";
	char text[200];
	snprintf(text, sizeof text, "set pgdrover.tenant = '%s'", A);
	simple(conn, "", text);
	expect(strcmp(PQcmdStatus(feed(conn, copy, A, NULL, 20000, NULL)), "COPY 20000") == 0);
	expect(made(conn, A) == 20000);
	expect(strcmp(state_of(feed(conn, copy, A, NULL, 20000, NULL)), "23505") == 0);
	expect(strcmp(state_of(feed(conn, copy, A, "x", 200000, NULL)), "22P02") == 0); /* the error comes long before the end */
	expect(strcmp(state_of(feed(conn, copy, A, NULL, 10, "given up")), "57014") == 0);
	expect(made(conn, A) == 20000);
	simple(conn, "", "reset pgdrover.tenant");
	simple(conn, "", "begin");
	snprintf(text, sizeof text, "/* pgdrover: tenant=%s */ %s", B, copy);
	feed(conn, text, B, NULL, 5, NULL);
	simple(conn, "", "rollback");
	expect(made(conn, B) == 0);
	/* In the extended protocol. */
	expect(PQsendQueryParams(conn, text, 0, NULL, NULL, NULL, NULL, 0));
	expect(PQresultStatus(keep(PQgetResult(conn))) == PGRES_COPY_IN);
	int n = snprintf(line, sizeof line, "%s\t1000\te\tn\n", B);
	expect(PQputCopyData(conn, line, n) == 1 && PQputCopyEnd(conn, NULL) == 1);
	expect(PQresultStatus(keep(PQgetResult(conn))) == PGRES_COMMAND_OK);
	expect(PQgetResult(conn) == NULL);
	expect(made(conn, B) == 1);
}

static int drain(PGconn *conn, const char *sql, const char *state)
{
	PGresult *result = keep(PQexec(conn, sql));
	if (PQresultStatus(result) != PGRES_COPY_OUT) fail("%s: %s", sql, PQerrorMessage(conn));
	int n = 0;
	for (char *row; PQgetCopyData(conn, &row, 0) > 0; n++)
		PQfreemem(row);
	result = keep(PQgetResult(conn));
	if (strcmp(state_of(result), state) != 0) fail("%s: %s", sql, PQresultErrorMessage(result));
	expect(PQgetResult(conn) == NULL);
	return n;
}

void check_copy_out(void)
{
	PGconn *conn = scene();
	char text[200];
	for (int i = 0; i < 2; i++) {
		snprintf(text, sizeof text, "copy (select generate_series(1, 200000), name from users where tenant_id = %s and id = 1) to stdout", i ? A : B);
		expect(drain(conn, text, "") == 200000);
		snprintf(text, sizeof text, "/* pgdrover: tenant=%s */ copy users (id, name) to stdout (format csv)", i ? A : B);
		expect(drain(conn, text, "") >= 3);
	}
	expect(drain(conn, "copy countries to stdout (format binary)", "") >= 6);
	drain(conn, "copy (select 1 / (g - 5000) from generate_series(1, 9999) g) to stdout", "22012");
	expect(strcmp(value(conn, "select 1", NULL), "1") == 0);
}

void check_cursor(void)
{
	PGconn *conn = scene();
	simple(conn, "", "begin");
	run(conn, "declare mine cursor for select g from users u, generate_series(1, 100) g where tenant_id = $1 and u.id = 1 order by g", A, NULL);
	int n = 0;
	for (PGresult *rows = run(conn, "fetch 7 from mine", NULL); PQntuples(rows) > 0; rows = run(conn, "fetch 7 from mine", NULL))
		n += PQntuples(rows);
	expect(n == 100);
	PGresult *described = keep(PQdescribePortal(conn, "mine"));
	expect(PQresultStatus(described) == PGRES_COMMAND_OK && PQnfields(described) == 1);
	simple(conn, "", "commit");
	expect(PQsendQueryParams(conn, "select generate_series(1, 5000) from users where tenant_id = $1 and id = 1", 1, NULL, &B, NULL, NULL, 0));
	expect(PQsetSingleRowMode(conn));
	n = 0;
	for (PGresult *row; (row = PQgetResult(conn)) != NULL; PQclear(row))
		n += PQntuples(row);
	expect(n == 5000);
}
