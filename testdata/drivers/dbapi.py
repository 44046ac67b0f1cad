"""The checks for drivers that follow Python's DB-API. A driver's program makes a subclass and says what is its own."""

import datetime
import decimal
import threading
import time
import uuid

from report import A, B, DATABASE, MOVES, NODES, PASSWORD, SAME, TYPES, Skip, expect, node, run, until

ROW = {
    "i2": -32768, "i4": 2147483647, "i8": -9223372036854775808,
    "num": decimal.Decimal("12345678901234567890.123456789"), "f8": 3.141592653589793,
    "txt": "h\u00e9llo \u2192 \u4e16\u754c \U0001f418 \"q\" 's' \\ %s $1 ?", "bin": b"\x00\x01\xff\x5c\x27\x00", "flag": True,
    "day": datetime.date(2024, 2, 29), "at": datetime.datetime(2024, 2, 29, 12, 34, 56, 789012, datetime.timezone.utc),
    "doc": {"a": [1, 2, {"b": None}], "c": "\u00e9"}, "docb": {"a": [1, 2, {"b": None}], "c": "\u00e9"},
    "uid": uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), "ints": [1, None, -3], "texts": ["a", "b c", None, "\u00e9\"x"],
}


class Checks:
    module = None  # the DB-API module

    def connect(self, **options):
        """A connection in autocommit mode; password, dbname, tls and node are the options."""
        raise NotImplementedError

    def state(self, error):
        raise NotImplementedError

    def transaction(self, conn, on):
        """Ends autocommit, or begins it again; outside a transaction."""
        conn.autocommit = not on

    def sql(self, text):
        return text

    def encode(self, row):
        """The values of a row as parameters."""
        return list(row.values())

    def run(self):
        run({name[6:]: getattr(self, name) for name in dir(self) if name.startswith("check_")})

    # What the checks are written with.

    def execute(self, conn, text, params=()):
        cursor = conn.cursor()
        if params:
            cursor.execute(self.sql(text), params)
        else:
            cursor.execute(self.sql(text))
        return cursor

    def rows(self, conn, text, params=()):
        return [tuple(row) for row in self.execute(conn, text, params).fetchall()]

    def value(self, conn, text, params=()):
        return self.rows(conn, text, params)[0][0]

    def fails(self, state, do, *args):
        states = state.split()
        try:
            do(*args)
        except self.module.Error as error:
            if self.state(error) not in states:
                raise AssertionError(f"want {state}, got {self.state(error)}: {error}") from error
            return error
        raise AssertionError(f"{args[1:]}: no error, want {state}")

    def clean(self, conn):
        for tenant in (A, B):
            self.execute(conn, "delete from orders where tenant_id = %s and id >= 1000", (tenant,))
            self.execute(conn, "delete from users where tenant_id = %s and id >= 1000", (tenant,))

    def scene(self, connections=1):
        conns = [self.connect() for _ in range(connections)]
        self.clean(conns[0])
        return conns

    def holders(self, count, tenant=A):
        """Connections that hold a backend each, in a transaction."""
        conns = [self.connect() for _ in range(count)]
        for conn in conns:
            self.transaction(conn, True)
            self.execute(conn, "select 1 from users where tenant_id = %s and id = 1", (tenant,)).fetchall()
            yield conn

    def close(self, *conns):
        for conn in conns:
            conn.close()

    # The checks.

    def check_connect(self):
        conn = self.connect()
        expect(self.value(conn, "select 1"), 1)
        conn.close()
        self.fails("28P01", lambda: self.connect(password=PASSWORD + "x"))
        self.fails("3D000", lambda: self.connect(dbname=DATABASE + "x"))

    def check_tls(self):
        conn = self.connect(tls=True)
        expect(self.value(conn, "select 1"), 1)
        conn.close()

    def round_trip(self, conn):
        self.execute(conn, "delete from driver_types where tenant_id = %s and id = 1000", (A,))
        marks = ", ".join(["%s"] * len(ROW))
        self.execute(conn, f"insert into driver_types (tenant_id, id, {TYPES}) values (%s, 1000, {marks})", [A, *self.encode(ROW)])
        expect(self.value(conn, SAME, (A, 1, 1000)), 1, "the same in the server's eyes")
        got = self.rows(conn, f"select {TYPES} from driver_types where tenant_id = %s and id = 1000", (A,))[0]
        for name, value in zip(ROW, got):
            self.same(name, value)
        expect(self.rows(conn, f"select {TYPES} from driver_types where tenant_id = %s and id = 2", (A,))[0], (None,) * len(ROW))

    def same(self, name, value):
        value = bytes(value) if isinstance(value, memoryview) else value
        expect(value, ROW[name], name)

    def check_types_text(self):
        conn, = self.scene()
        self.round_trip(conn)
        conn.close()

    def check_crud(self):
        conn, = self.scene()
        for tenant in (A, B):
            new = "insert into users (tenant_id, id, email, name) values (%s, %s, %s, %s) returning id, name"
            expect(self.rows(conn, new, (tenant, 1000, "a@b.example", f"T{tenant}")), [(1000, f"T{tenant}")])
            self.execute(conn, "insert into orders (tenant_id, id, user_id, total) values (%s, 1000, 1000, %s), (%s, 1001, 1000, 2.50)",
                         (tenant, decimal.Decimal("1.25"), tenant))
        for tenant in (A, B):
            joined = """select u.name, sum(o.total) from users u join orders o on o.tenant_id = u.tenant_id and o.user_id = u.id
                        where u.tenant_id = %s and u.id = 1000 group by u.name"""
            expect(self.rows(conn, joined, (tenant,)), [(f"T{tenant}", decimal.Decimal("3.75"))])
            expect(self.execute(conn, "update users set name = %s where tenant_id = %s and id >= 1000", ("new", tenant)).rowcount, 1)
            upsert = "insert into users as u (tenant_id, id, email, name) values (%s, 1000, 'x', 'y') on conflict (tenant_id, id) do update set name = u.name || excluded.name returning u.name"
            expect(self.value(conn, upsert, (tenant,)), "newy")
            fill = "insert into orders (tenant_id, id, status) select tenant_id, id + 1000, 'copy' from orders where tenant_id = %s and id >= 1000"
            expect(self.execute(conn, fill, (tenant,)).rowcount, 2)
            expect(self.execute(conn, "delete from orders where tenant_id = %s and id >= 1000", (tenant,)).rowcount, 4)
        self.clean(conn)
        conn.close()

    def count(self, conn, tenant=A):
        # In a transaction, so that the primary answers.
        self.transaction(conn, True)
        n = self.value(conn, "select count(*) from users where tenant_id = %s and id >= 1000", (tenant,))
        conn.rollback()
        self.transaction(conn, False)
        return n

    def insert(self, conn, number, tenant=A):
        self.execute(conn, "insert into users (tenant_id, id, email, name) values (%s, %s, %s, 'n')", (tenant, number, f"{number}@x"))

    def check_transaction(self):
        one, two = self.scene(2)
        self.transaction(one, True)
        self.insert(one, 1000)
        expect(self.count(two), 0, "before the commit")
        one.commit()
        expect(self.count(two), 1, "after the commit")
        self.insert(one, 1001)
        one.rollback()
        expect(self.count(two), 1, "after the rollback")
        self.close(one, two)

    def check_savepoint(self):
        conn, = self.scene()
        self.transaction(conn, True)
        self.insert(conn, 1000)
        self.execute(conn, "savepoint s")
        self.fails("23505", self.insert, conn, 1000)
        self.fails("25P02", self.execute, conn, "select 1")
        self.execute(conn, "rollback to savepoint s")
        self.insert(conn, 1001)
        self.execute(conn, "release savepoint s")
        conn.commit()
        self.transaction(conn, False)
        expect(self.count(conn), 2)
        conn.close()

    def check_aborted(self):
        conn, = self.scene()
        self.transaction(conn, True)
        self.insert(conn, 1000)
        self.fails("22012", self.execute, conn, "select 1/0")
        self.fails("25P02", self.execute, conn, "select 1")
        self.fails("25P02", self.execute, conn, "select id from users where tenant_id = %s", (A,))
        conn.rollback()
        self.transaction(conn, False)
        expect(self.count(conn), 0)
        conn.close()

    def check_prepared(self):
        conns = self.scene(4)
        for turn in range(3):
            for number in range(25):
                for conn in conns:
                    got = self.value(conn, f"select count(*) + {number} + %s from users where tenant_id = %s and id < 1000", (turn, A))
                    expect(got, 3 + number + turn)
        locked = "select pg_backend_pid(), name from users where tenant_id = %s and id = 1 for update"
        held, seen = [], set()
        for holder in self.holders(3):
            for _ in range(3):
                seen.add(self.rows(conns[0], locked, (A,))[0][0])
            held.append(holder)
        seen.add(self.rows(conns[0], locked, (A,))[0][0])
        if MOVES and len(seen) < 2:
            raise AssertionError("all on one backend: nothing was tried")
        self.close(*conns, *held)

    def check_sql_prepare(self):
        conn, other = self.scene(2)
        self.execute(conn, "prepare ps (bigint) as select name from users where tenant_id = $1 and id = 1 for update")
        self.execute(other, f"prepare ps (bigint) as select 'other' from users where tenant_id = $1 and id = 1")
        held = []
        for holder in self.holders(2):
            expect(self.value(conn, f"execute ps({A})"), "User 1")
            expect(self.value(other, f"execute ps({A})"), "other")
            held.append(holder)
        expect(self.value(conn, f"execute ps({B})"), "User 1")
        self.fails("42P05", self.execute, conn, "prepare ps as select 1")
        self.execute(conn, "deallocate ps")
        self.fails("26000", self.execute, conn, f"execute ps({A})")
        self.execute(conn, "prepare ps (bigint) as select 2 from users where tenant_id = $1 and id = 1")
        expect(self.value(conn, f"execute ps({A})"), 2)
        self.execute(conn, "deallocate all")
        self.fails("26000", self.execute, conn, f"execute ps({A})")
        expect(self.value(other, f"execute ps({A})"), "other")
        self.close(conn, other, *held)

    def check_plan_change(self):
        conn, other = self.scene(2)
        self.execute(other, "alter table driver_columns drop column if exists b")
        self.execute(other, "delete from driver_columns where tenant_id = %s", (A,))
        self.execute(other, "insert into driver_columns (tenant_id, id, a) values (%s, 1, 'a')", (A,))
        read = "select * from driver_columns where tenant_id = %s and id = 1 for update"
        for _ in range(7):
            expect(self.rows(conn, read, (A,)), [(A, 1, "a")])
        self.execute(other, "alter table driver_columns add column b text default 'b'")
        try:
            got = self.rows(conn, read, (A,))
        except self.module.Error as error:  # PostgreSQL's own: cached plan must not change result type
            expect(self.state(error), "0A000", str(error))
            got = [(A, 1, "a", "b")]
        expect(got, [(A, 1, "a", "b")])
        self.execute(other, "alter table driver_columns drop column b")
        self.close(conn, other)

    def check_multi(self):
        conn, = self.scene()
        insert = "insert into users (tenant_id, id, email, name) values (%d, %d, '%d', 'm')"
        self.execute(conn, "; ".join(insert % (A, n, n) for n in (1000, 1001, 1002)))
        expect(self.count(conn), 3)
        self.fails("22012", self.execute, conn, insert % (A, 1003, 1003) + "; select 1/0")
        expect(self.count(conn), 3, "after an error in the last")
        self.execute(conn, f"begin; {insert % (A, 1004, 1004)}; commit; {insert % (A, 1005, 1005)}")
        expect(self.count(conn), 5)
        conn.close()

    def check_timeout(self):
        conn, = self.scene()
        self.execute(conn, "set statement_timeout = '200ms'")
        self.fails("57014", self.execute, conn, "select pg_sleep(5)")
        self.execute(conn, "reset statement_timeout")
        self.execute(conn, "select pg_sleep(0.3)").fetchall()
        conn.close()

    def check_errors(self):
        conn, = self.scene()
        self.insert(conn, 1000)
        for state, text in [
            ("23505", f"insert into users (tenant_id, id, email, name) values ({A}, 1000, 'e', 'n')"),
            ("23503", f"insert into orders (tenant_id, id, user_id) values ({A}, 1000, 9999)"),
            ("23502", f"insert into users (tenant_id, id, email) values ({A}, 1001, 'e')"),
            ("22P02", f"select 1 from users where tenant_id = {A} and id = 'x'"),
            ("42P01", "select * from no_such_table"), ("42703", f"select nothing from users where tenant_id = {A}"),
            ("22012", "select 1/0"), ("42601", "selec 1"),
        ]:
            error = self.fails(state, self.execute, conn, text)
            self.fields(state, error)
            expect(self.value(conn, "select count(*) from users where tenant_id = %s and id = 1", (A,)), 1, f"after {state}")
        conn.close()

    def fields(self, state, error):
        if state == "23505" and "users_pkey" not in str(error):
            raise AssertionError(f"the constraint is not named: {error}")

    def check_settings(self):
        conn, other = self.scene(2)
        before = self.rows(other, "select current_setting('TimeZone'), current_setting('search_path'), current_setting('application_name')")
        self.execute(conn, "set time zone 'Asia/Tokyo'")
        self.execute(conn, "set search_path = public, pg_temp")
        self.execute(conn, "set application_name = 'it is mine'")
        want = ("Asia/Tokyo", "public, pg_temp", "it is mine")
        read = """select current_setting('TimeZone'), current_setting('search_path'), current_setting('application_name')
                  from users where tenant_id = %s and id = 1 for update"""
        held = []
        for holder in self.holders(3):
            expect(self.rows(conn, read, (A,)), [want])
            expect(self.rows(conn, read, (B,)), [want])
            expect(self.value(conn, "show timezone"), "Asia/Tokyo")
            expect(self.rows(other, "select current_setting('TimeZone'), current_setting('search_path'), current_setting('application_name')"), before)
            held.append(holder)
        self.execute(conn, "select set_config('search_path', 'public', false)")
        expect(self.value(conn, "show search_path"), "public")
        self.transaction(conn, True)
        self.execute(conn, "set local time zone 'UTC'")
        expect(self.value(conn, "show timezone"), "UTC")
        conn.commit()
        self.transaction(conn, False)
        expect(self.value(conn, "show timezone"), "Asia/Tokyo")
        self.execute(conn, "reset all")
        expect(self.value(conn, "show timezone"), before[0][0])
        self.close(conn, other, *held)

    def check_catalog(self):
        conn, = self.scene()
        columns = "select column_name, data_type from information_schema.columns where table_schema = 'public' and table_name = 'orders' order by ordinal_position"
        expect(self.rows(conn, columns)[:2], [("tenant_id", "bigint"), ("id", "bigint")])
        expect(self.value(conn, "select 'orders'::regclass::text"), "orders")
        conn.close()

    def check_ddl(self):
        conn, = self.scene()
        self.execute(conn, "drop table if exists driver_ddl")
        self.execute(conn, "create table driver_ddl (tenant_id bigint, id bigint, primary key (tenant_id, id))")
        self.execute(conn, "alter table driver_ddl add column note text not null default 'n'")
        self.execute(conn, "create index driver_ddl_note on driver_ddl (tenant_id, note)")
        for tenant in (A, B):
            self.execute(conn, "insert into driver_ddl values (%s, 1)", (tenant,))
            expect(self.rows(conn, "select * from driver_ddl where tenant_id = %s", (tenant,)), [(tenant, 1, "n")])
        self.execute(conn, "drop table driver_ddl")
        self.fails("42P01", self.execute, conn, "select * from driver_ddl where tenant_id = %s", (A,))
        conn.close()

    def terminate(self, pid):
        for url in NODES:
            conn = self.connect(node=node(url))
            self.rows(conn, "select pg_terminate_backend(pid) from pg_stat_activity where pid = %s", (pid,))
            conn.close()

    def check_terminated(self):
        conn, = self.scene()
        self.transaction(conn, True)
        pid = self.value(conn, "select pg_backend_pid() from users where tenant_id = %s and id = 1", (A,))
        self.terminate(pid)
        self.broken(conn)
        conn.close()
        conn = self.connect()
        pid = self.value(conn, "select pg_backend_pid() from users where tenant_id = %s and id = 1 for update", (A,))
        self.terminate(pid)
        if MOVES:  # the pool notices, the client does not
            until(lambda: self.value(conn, "select name from users where tenant_id = %s and id = 1 for update", (A,)) == "User 1", "an idle backend was terminated")
        conn.close()
        conn = self.connect()
        expect(self.value(conn, "select name from users where tenant_id = %s and id = 1", (A,)), "User 1")
        conn.close()

    def broken(self, conn):
        """The statement after the end of its backend fails, and says so."""
        try:
            self.rows(conn, "select 1 from users where tenant_id = %s and id = 1", (A,))
        except self.module.Error as error:
            if (self.state(error) or "08")[:2] not in ("57", "08"):
                raise AssertionError(f"{self.state(error)}: {error}") from error
            return
        raise AssertionError("a transaction went on without its backend")

    def threads(self, work, count=20):
        errors = []

        def guarded(number):
            try:
                work(number)
            except Exception as error:  # reported by the thread that waits
                errors.append(error)

        threads = [threading.Thread(target=guarded, args=(n,), daemon=True) for n in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def counted(self, borrow):
        """20 threads that count up by 10, with connections from borrow, a context manager."""
        conn, = self.scene()
        for tenant in (A, B):
            self.execute(conn, "update driver_counters set n = 0 where tenant_id = %s and id = 1", (tenant,))

        def work(number):
            for turn in range(10):
                with borrow() as own:
                    self.execute(own, "update driver_counters set n = n + 1 where tenant_id = %s and id = 1", ((A, B)[(number + turn) % 2],))

        self.threads(work)
        for tenant in (A, B):
            expect(self.value(conn, "select n from driver_counters where tenant_id = %s and id = 1 for update", (tenant,)), 100)
        conn.close()

    def check_short(self):
        def work(number):
            for _ in range(4):
                conn = self.connect()
                expect(self.value(conn, "select name from users where tenant_id = %s and id = 1", ((A, B)[number % 2],)), "User 1")
                conn.close()

        self.threads(work, 10)

    def cancelled(self, conn, cancel):
        """A sleeping statement of conn ends when cancel is called."""
        timer = threading.Timer(0.3, cancel)
        timer.start()
        begun = time.monotonic()
        self.fails("57014", self.execute, conn, "select pg_sleep(15)")
        timer.join()
        if time.monotonic() - begun > 5:
            raise AssertionError("the cancel came late")
        expect(self.value(conn, "select 1"), 1)


__all__ = ["Checks", "ROW", "Skip"]
