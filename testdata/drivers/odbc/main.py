"""ODBC: psqlodbc through unixODBC, by pyodbc."""

import glob
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import pyodbc

from dbapi import ROW, Checks
from report import A, B, DATABASE, HOST, PASSWORD, PORT, SAME, TYPES, USER, Skip, expect

pyodbc.pooling = False
libraries = glob.glob("/usr/lib/*/odbc/psqlodbcw.so") + glob.glob("/opt/homebrew/lib/psqlodbcw.so") + glob.glob("/usr/local/lib/psqlodbcw.so")


class Odbc(Checks):
    module = pyodbc

    def connect(self, password=PASSWORD, dbname=DATABASE, tls=False, node=None, more=""):
        where = node or {"host": HOST, "port": PORT, "user": USER, "password": password, "dbname": dbname}
        conn = pyodbc.connect(
            f"Driver={libraries[0]};Server={where['host']};Port={where['port']};UID={where['user']};PWD={where['password']};Database={where['dbname']};"
            f"SSLmode={'require' if tls else 'disable'};UseServerSidePrepare=1;Protocol=7.4-0;BoolsAsChar=0;ByteaAsLongVarBinary=1;{more}", autocommit=True)
        conn.setencoding("utf-8")
        return conn

    def state(self, error):
        if "password authentication failed" in str(error):
            return "28P01"  # the driver says 08001 of every login that fails
        if "does not exist" in str(error) and error.args[0] == "08001":
            return "3D000"
        if "terminating connection" in str(error):
            return "57P01"  # said as HY000
        return error.args[0]

    def sql(self, text):
        return text.replace("%s", "?")

    def fails(self, state, do, *args):
        # The driver has its own, older SQLSTATEs for a few.
        own = {"42P01": "42P01 42S02", "42703": "42703 42S22", "42601": "42601 42000"}
        return super().fails(own.get(state, state) + " HY000" * (state in ("25P02", "57014")), do, *args)

    def round_trip(self, conn):
        # What ODBC has no type for goes and comes as text.
        casts = {"num": "numeric", "bin": "bytea", "day": "date", "at": "timestamptz", "doc": "json", "docb": "jsonb", "uid": "uuid", "ints": "int[]", "texts": "text[]", "flag": "boolean"}
        texts = {"at": "2024-02-29 12:34:56.789012+00", "doc": '{"a": [1, 2, {"b": null}], "c": "\u00e9"}', "docb": '{"a": [1, 2, {"b": null}], "c": "\u00e9"}',
                 "uid": str(ROW["uid"]), "ints": "{1,NULL,-3}", "texts": '{a,"b c",NULL,"\u00e9\\"x"}', "num": str(ROW["num"])}
        self.execute(conn, "delete from driver_types where tenant_id = %s and id = 1000", (A,))
        marks = ", ".join(f"cast(%s as {casts[name]})" if name in casts else "%s" for name in ROW)
        self.execute(conn, f"insert into driver_types (tenant_id, id, {TYPES}) values (%s, 1000, {marks})", [A, *[texts.get(n, v) for n, v in ROW.items()]])
        expect(self.value(conn, SAME, (A, 1, 1000)), 1, "the same in the server's eyes")
        got = self.rows(conn, f"select {TYPES} from driver_types where tenant_id = %s and id = 1000", (A,))[0]
        for name, value in zip(ROW, got):
            if name in ("i2", "i4", "i8", "f8", "txt", "bin", "day", "uid"):
                expect(value.lower() if name == "uid" else value, str(ROW[name]) if name == "uid" else ROW[name], name)
        expect(str(got[3]), str(ROW["num"]), "num")
        expect(self.rows(conn, f"select {TYPES} from driver_types where tenant_id = %s and id = 2", (A,))[0], (None,) * len(ROW))

    def check_types_binary(self):
        raise Skip("psqlodbc asks for text")

    def check_reprepare(self):
        conn, other = self.scene(2)
        for turn in range(3):
            for number in range(20):
                for c in (conn, other):  # one cursor, one name, another text each time
                    expect(self.value(c, f"select {number} + cast(%s as int) from users where tenant_id = %s and id = 1", (turn, A)), number + turn)
        self.close(conn, other)

    def check_batch(self):
        conn, = self.scene()
        rows = [(A, 1000 + n, f"{n}@x", "n") for n in range(300)]
        cursor = conn.cursor()
        cursor.fast_executemany = True
        cursor.executemany("insert into users (tenant_id, id, email, name) values (?, ?, ?, ?)", rows)
        expect(self.count(conn), 300)
        conn.close()

    def check_cursor(self):
        conn = self.connect(more="UseDeclareFetch=1;Fetch=7")
        self.transaction(conn, True)
        got = self.rows(conn, "select g from users u, generate_series(1, 100) g where tenant_id = %s and u.id = 1 order by g", (A,))
        expect(got, [(n,) for n in range(1, 101)])
        conn.rollback()
        conn.close()

    def check_multi(self):
        conn, = self.scene()
        insert = "insert into users (tenant_id, id, email, name) values (%d, %d, '%d', 'm')"
        self.execute(conn, "; ".join(insert % (A, n, n) for n in (1000, 1001, 1002)))
        expect(self.count(conn), 3)
        conn.close()

    def check_copy_in(self):
        raise Skip("ODBC has no COPY")

    check_copy_out = check_copy_in

    def check_cancel(self):
        conn, = self.scene()
        cursor = conn.cursor()
        timer = threading.Timer(0.3, cursor.cancel)
        timer.start()
        self.fails("57014", cursor.execute, "select pg_sleep(15)")
        timer.join()
        expect(self.value(conn, "select 1"), 1)
        conn.close()

    def check_notify(self):
        raise Skip("ODBC has no notifications")

    def check_notice(self):
        conn, = self.scene()
        self.execute(conn, f"set pgdrover.tenant = '{A}'")
        cursor = self.execute(conn, "do $$ begin raise notice 'here it is'; end $$")
        if not any("here it is" in text for _, text in cursor.messages or []):
            raise AssertionError(f"messages: {cursor.messages}")
        conn.close()

    def check_pool(self):
        raise Skip("its pool is unixODBC's, which keeps no more than connections")


if sys.argv[1:] == ["probe"]:
    if not libraries:
        sys.exit("psqlodbcw.so is not here: install odbc-postgresql")
    print("pyodbc", pyodbc.version, libraries[0])
else:
    Odbc().run()
