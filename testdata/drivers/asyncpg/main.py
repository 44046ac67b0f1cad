"""asyncpg: the binary protocol only, a cache of prepared statements, and a pool."""

import asyncio
import datetime
import decimal
import json
import os
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import asyncpg

from report import A, B, DATABASE, HOST, MOVES, NODES, PASSWORD, PORT, SAME, TYPES, USER, Skip, expect, node, run

DOC = json.dumps({"a": [1, 2, {"b": None}], "c": "\u00e9"})
ROW = (
    -32768, 2147483647, -9223372036854775808, decimal.Decimal("12345678901234567890.123456789"), 3.141592653589793,
    "h\u00e9llo \u2192 \u4e16\u754c \U0001f418 \"q\" 's' \\ %s $1 ?", b"\x00\x01\xff\x5c\x27\x00", True, datetime.date(2024, 2, 29),
    datetime.datetime(2024, 2, 29, 12, 34, 56, 789012, datetime.timezone.utc), DOC, DOC,
    uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), [1, None, -3], ["a", "b c", None, "\u00e9\"x"],
)
INSERT = "insert into users (tenant_id, id, email, name) values ($1, $2, $3, $4)"
COUNT = "select count(*) from users where tenant_id = $1 and id >= 1000"


def connect(**options):
    where = {"host": HOST, "port": PORT, "user": USER, "password": PASSWORD, "database": DATABASE, "ssl": False}
    return asyncpg.connect(**{**where, **options})


async def scene(connections=1):
    conns = [await connect() for _ in range(connections)]
    for tenant in (A, B):
        await conns[0].execute("delete from orders where tenant_id = $1 and id >= 1000", tenant)
        await conns[0].execute("delete from users where tenant_id = $1 and id >= 1000", tenant)
    return conns


async def close(*conns):
    for conn in conns:
        await conn.close()


async def fails(state, awaitable):
    try:
        await awaitable
    except asyncpg.PostgresError as error:
        if error.sqlstate != state:
            raise AssertionError(f"want {state}, got {error.sqlstate}: {error}") from error
        return error
    raise AssertionError(f"no error, want {state}")


async def count(conn, tenant=A):
    async with conn.transaction():
        return await conn.fetchval(COUNT, tenant)


async def holder():
    conn = await connect()
    await conn.execute("begin")
    await conn.fetch("select 1 from users where tenant_id = $1 and id = 1", A)
    return conn


def numbered(text):
    for n in range(1, text.count("%s") + 1):
        text = text.replace("%s", f"${n}", 1)
    return text


async def check_connect():
    conn = await connect()
    expect(await conn.fetchval("select 1"), 1)
    await conn.close()
    await fails("28P01", connect(password="x" + PASSWORD))
    await fails("3D000", connect(database=DATABASE + "x"))


async def check_tls():
    conn = await connect(ssl="require")
    expect(await conn.fetchval("select 1"), 1)
    await conn.close()


async def check_types_text():
    raise Skip("asyncpg knows binary only")


async def check_types_binary():
    conn, = await scene()
    await conn.execute("delete from driver_types where tenant_id = $1 and id = 1000", A)
    marks = ", ".join(f"${n + 2}" for n in range(len(ROW)))
    await conn.execute(f"insert into driver_types (tenant_id, id, {TYPES}) values ($1, 1000, {marks})", A, *ROW)
    expect(await conn.fetchval(numbered(SAME), A, 1, 1000), 1, "the same in the server's eyes")
    got = list(await conn.fetchrow(f"select {TYPES} from driver_types where tenant_id = $1 and id = 1000", A))
    got[11] = json.dumps(json.loads(got[11]))
    expect(tuple(got), ROW)
    expect(tuple(await conn.fetchrow(f"select {TYPES} from driver_types where tenant_id = $1 and id = 2", A)), (None,) * len(ROW))
    await conn.close()


async def check_crud():
    conn, = await scene()
    for tenant in (A, B):
        expect(tuple(await conn.fetchrow(INSERT + " returning id, name", tenant, 1000, "a@b.example", f"T{tenant}")), (1000, f"T{tenant}"))
        await conn.execute("insert into orders (tenant_id, id, user_id, total) values ($1, 1000, 1000, $2), ($1, 1001, 1000, 2.50)", tenant, decimal.Decimal("1.25"))
    for tenant in (A, B):
        joined = """select u.name, sum(o.total) from users u join orders o using (tenant_id)
                    where u.tenant_id = $1 and u.id = 1000 and o.user_id = u.id group by u.name"""
        expect(tuple(await conn.fetchrow(joined, tenant)), (f"T{tenant}", decimal.Decimal("3.75")))
        expect(await conn.execute("update users set name = $1 where tenant_id = $2 and id >= 1000", "new", tenant), "UPDATE 1")
        expect(await conn.fetchval(INSERT + " on conflict (tenant_id, id) do update set name = users.name || excluded.name returning name", tenant, 1000, "x", "y"), "newy")
        expect(await conn.execute("delete from orders where tenant_id = $1 and id = any($2::bigint[])", tenant, [1000, 1001]), "DELETE 2")
    await conn.close()


async def check_transaction():
    one, two = await scene(2)
    tx = one.transaction()
    await tx.start()
    await one.execute(INSERT, A, 1000, "e", "n")
    expect(await count(two), 0, "before the commit")
    await tx.commit()
    expect(await count(two), 1, "after the commit")
    tx = one.transaction()
    await tx.start()
    await one.execute(INSERT, A, 1001, "f", "n")
    await tx.rollback()
    expect(await count(two), 1, "after the rollback")
    await close(one, two)


async def check_savepoint():
    conn, = await scene()
    async with conn.transaction():
        await conn.execute(INSERT, A, 1000, "e", "n")
        inner = conn.transaction()
        await inner.start()
        await fails("23505", conn.execute(INSERT, A, 1000, "f", "n"))
        await fails("25P02", conn.fetchval("select 1"))
        await inner.rollback()
        await conn.execute(INSERT, A, 1001, "g", "n")
    expect(await count(conn), 2)
    await conn.close()


async def check_aborted():
    conn, = await scene()
    tx = conn.transaction()
    await tx.start()
    await conn.execute(INSERT, A, 1000, "e", "n")
    await fails("22012", conn.fetchval("select 1/$1::int", 0))
    await fails("25P02", conn.fetchval("select 1"))
    await tx.rollback()
    expect(await count(conn), 0)
    await conn.close()


async def check_prepared():
    conns = await scene(4)
    for turn in range(3):
        for number in range(25):
            for conn in conns:
                got = await conn.fetchval(f"select count(*) + {number} + $1::bigint from users where tenant_id = $2 and id < 1000", turn, A)
                expect(got, 3 + number + turn)
    locked = await conns[0].prepare("select pg_backend_pid(), name from users where tenant_id = $1 and id = 1 for update")
    held, seen = [], {await locked.fetchval(A)}
    for _ in range(3):
        held.append(await holder())
        seen |= {await locked.fetchval(A) for _ in range(3)}
    expect(tuple(await locked.fetchrow(B))[1], "User 1")
    if MOVES and len(seen) < 2:
        raise AssertionError("all on one backend: nothing was tried")
    await close(*conns, *held)


async def check_reprepare():
    conn = await connect(statement_cache_size=3)  # the driver closes the oldest
    other = await connect(statement_cache_size=3)
    for turn in range(3):
        for number in range(10):
            for c in (conn, other):
                expect(await c.fetchval(f"select {number} + $1::bigint from users where tenant_id = $2 and id = 1", turn, A), number + turn)
    await close(conn, other)


async def check_sql_prepare():
    conn, = await scene()
    await conn.execute("prepare ps (bigint) as select name from users where tenant_id = $1 and id = 1 for update")
    held = []
    for _ in range(2):
        held.append(await holder())
        expect(await conn.execute(f"execute ps({A})"), "SELECT 1")
    await conn.execute("deallocate ps")
    await fails("26000", conn.execute(f"execute ps({A})"))
    await close(conn, *held)


async def check_plan_change():
    conn, other = await scene(2)
    await other.execute("alter table driver_columns drop column if exists b")
    await other.execute("delete from driver_columns where tenant_id = $1", A)
    await other.execute("insert into driver_columns (tenant_id, id, a) values ($1, 1, 'a')", A)
    read = "select * from driver_columns where tenant_id = $1 and id = 1 for update"
    for _ in range(3):
        expect(tuple(await conn.fetchrow(read, A)), (A, 1, "a"))
    await other.execute("alter table driver_columns add column b text default 'b'")
    expect(tuple(await conn.fetchrow(read, A)), (A, 1, "a", "b"))  # the driver prepares again when it is told to
    await other.execute("alter table driver_columns drop column b")
    await close(conn, other)


async def check_batch():
    conn, = await scene()
    await conn.executemany(INSERT, [(A, 1000 + n, f"{n}@x", "n") for n in range(500)])
    expect(await count(conn), 500)
    await fails("23505", conn.executemany(INSERT, [(A, 2000, "2000", "n"), (A, 1000, "1000", "n"), (A, 2001, "2001", "n")]))
    expect(await count(conn), 500, "after a batch with an error: it is one transaction")
    await conn.close()


async def check_multi():
    conn, = await scene()
    insert = "insert into users (tenant_id, id, email, name) values (%d, %d, '%d', 'm')"
    await conn.execute("; ".join(insert % (A, n, n) for n in (1000, 1001, 1002)))
    expect(await count(conn), 3)
    await fails("22012", conn.execute(insert % (A, 1003, 1003) + "; select 1/0"))
    expect(await count(conn), 3, "after an error in the last")
    await conn.close()


async def check_copy_in():
    conn, = await scene()
    await conn.execute(f"set pgdrover.tenant = '{A}'")
    columns = ["tenant_id", "id", "email", "name"]
    expect(await conn.copy_records_to_table("users", records=[(A, 1000 + n, f"{n}@x", f"na\tme {n}") for n in range(5000)], columns=columns), "COPY 5000")
    expect(await count(conn), 5000)

    async def text():
        for n in range(20):
            yield b"%d\t%d\tt%d\tn\n" % (A, 7000 + n, n)

    expect(await conn.copy_to_table("users", source=text(), columns=columns), "COPY 20")

    async def wrong():
        for _ in range(500):
            yield b"%d\tx\ty\tz\n" % A * 100

    await fails("22P02", conn.copy_to_table("users", source=wrong(), columns=columns))
    expect(await count(conn), 5020)
    await conn.close()


async def check_copy_out():
    conn, = await scene()
    got = []

    async def take(chunk):
        got.append(chunk)

    await conn.copy_from_query("select id, name from users where tenant_id = $1 order by id", A, output=take)
    expect(b"".join(got), b"1\tUser 1\n2\tUser 2\n3\tUser 3\n")
    got.clear()
    expect(await conn.copy_from_query("select generate_series(1, 20000) from users where tenant_id = $1 and id = 1", B, output=take, format="csv"), "COPY 20000")
    expect(len(b"".join(got).split()), 20000)
    await conn.close()


async def check_cursor():
    conn, = await scene()
    async with conn.transaction():
        text = "select g from users u, generate_series(1, 100) g where tenant_id = $1 and u.id = 1 order by g"
        expect([r[0] async for r in conn.cursor(text, A, prefetch=7)], list(range(1, 101)))
        cursor = await conn.cursor(text, A)
        expect(len(await cursor.fetch(10)), 10)
        await cursor.forward(5)
        expect((await cursor.fetchrow())[0], 16)
    await conn.close()


async def check_cancel():
    conn, = await scene()
    try:
        await conn.execute("select pg_sleep(15)", timeout=0.3)  # the driver sends a cancel request, and waits
        raise AssertionError("it was not cancelled")
    except asyncio.TimeoutError:
        pass
    expect(await conn.fetchval("select 1"), 1)
    await conn.close()


async def check_timeout():
    conn, = await scene()
    await conn.execute("set statement_timeout = '200ms'")
    await fails("57014", conn.fetchval("select pg_sleep(5)"))
    await conn.execute("reset statement_timeout")
    await conn.fetchval("select pg_sleep(0.3)")
    await conn.close()


async def check_notify():
    conn, other = await scene(2)
    got = asyncio.Queue()
    await conn.add_listener("drivers", lambda _c, _pid, _channel, payload: got.put_nowait(payload))
    await other.execute("select pg_notify('drivers', 'from another')")
    await conn.execute("notify drivers, 'from itself'")
    expect({await asyncio.wait_for(got.get(), 5), await asyncio.wait_for(got.get(), 5)}, {"from another", "from itself"})
    await close(conn, other)


async def check_notice():
    conn, = await scene()
    got = []
    conn.add_log_listener(lambda _c, message: got.append((message.severity, message.message)))
    await conn.execute(f"set pgdrover.tenant = '{A}'")
    await conn.execute("do $$ begin raise notice 'here it is'; end $$")
    await asyncio.sleep(0.05)
    expect(got, [("NOTICE", "here it is")])
    await conn.close()


async def check_errors():
    conn, = await scene()
    await conn.execute(INSERT, A, 1000, "e", "n")
    error = await fails("23505", conn.execute(INSERT, A, 1000, "f", "n"))
    expect((error.constraint_name, error.table_name, error.schema_name), ("users_pkey", "users", "public"))
    await fails("23503", conn.execute("insert into orders (tenant_id, id, user_id) values ($1, 1000, 9999)", A))
    error = await fails("23502", conn.execute("insert into users (tenant_id, id, email) values ($1, 1001, 'f')", A))
    expect(error.column_name, "name")
    for state, text in [("42P01", "select * from no_such_table"), ("42703", f"select nothing from users where tenant_id = {A}"), ("42601", "selec 1")]:
        await fails(state, conn.fetch(text))
        await fails(state, conn.prepare(text))
        await fails(state, conn.execute(text))
        expect(await conn.fetchval("select count(*) from users where tenant_id = $1 and id = 1", A), 1)
    await conn.close()


async def check_settings():
    conn, other = await scene(2)
    before = await other.fetchval("show timezone")
    await conn.execute("set time zone 'Asia/Tokyo'; set search_path = public, pg_temp; set application_name = 'it is mine'")
    read = "select current_setting('TimeZone'), current_setting('search_path'), current_setting('application_name') from users where tenant_id = $1 and id = 1 for update"
    held = []
    for _ in range(3):
        held.append(await holder())
        for tenant in (A, B):
            expect(tuple(await conn.fetchrow(read, tenant)), ("Asia/Tokyo", "public, pg_temp", "it is mine"))
        expect(await other.fetchval("show timezone"), before)
    expect(conn.get_settings().application_name, "it is mine")
    await conn.reset()
    expect(await conn.fetchval("show timezone"), before)
    own = await connect(server_settings={"timezone": "Africa/Nairobi", "application_name": "named at start"})
    expect(await own.fetchval("show timezone"), "Africa/Nairobi")
    expect(await own.fetchval("show application_name"), "named at start")
    await close(conn, other, own, *held)


async def check_catalog():
    conn, = await scene()
    await conn.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)  # looks the type up
    expect(await conn.fetchval("select docb from driver_types where tenant_id = $1 and id = 1", A), json.loads(DOC))
    expect(await conn.fetchval("select 'orders'::regclass::text"), "orders")
    await conn.close()


async def check_terminated():
    async def kill(pid):
        for url in NODES:
            where = node(url)
            conn = await asyncpg.connect(ssl=False, host=where["host"], port=where["port"], user=where["user"], password=where["password"], database=where["dbname"])
            await conn.fetch("select pg_terminate_backend(pid) from pg_stat_activity where pid = $1", pid)
            await conn.close()

    conn, = await scene()
    tx = conn.transaction()
    await tx.start()
    await kill(await conn.fetchval("select pg_backend_pid() from users where tenant_id = $1 and id = 1", A))
    try:
        await conn.fetch("select 1 from users where tenant_id = $1 and id = 1", A)
        raise AssertionError("a transaction went on without its backend")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        if isinstance(error, asyncpg.PostgresError) and error.sqlstate[:2] not in ("57", "08"):
            raise
    conn.terminate()
    conn = await connect()
    await kill(await conn.fetchval("select pg_backend_pid() from users where tenant_id = $1 and id = 1 for update", A))
    if MOVES:
        await asyncio.sleep(0.2)
        expect(await conn.fetchval("select name from users where tenant_id = $1 and id = 1 for update", A), "User 1")
    await conn.close()


async def check_pool():
    conn, = await scene()
    for tenant in (A, B):
        await conn.execute("update driver_counters set n = 0 where tenant_id = $1 and id = 1", tenant)
    pool = await asyncpg.create_pool(host=HOST, port=PORT, user=USER, password=PASSWORD, database=DATABASE, ssl=False, min_size=4, max_size=20)

    async def work(number):
        for turn in range(10):
            async with pool.acquire() as own, own.transaction():
                await own.execute("update driver_counters set n = n + 1 where tenant_id = $1 and id = 1", (A, B)[(number + turn) % 2])

    await asyncio.gather(*(work(n) for n in range(20)))
    for tenant in (A, B):
        expect(await conn.fetchval("select n from driver_counters where tenant_id = $1 and id = 1 for update", tenant), 100)
    await pool.close()
    await conn.close()


async def check_short():
    async def work(number):
        for _ in range(4):
            conn = await connect()
            expect(await conn.fetchval("select name from users where tenant_id = $1 and id = 1", (A, B)[number % 2]), "User 1")
            await conn.close()

    await asyncio.gather(*(work(n) for n in range(10)))


def synchronous(check):
    return lambda: asyncio.run(asyncio.wait_for(check(), 20))


if sys.argv[1:] == ["probe"]:
    print("asyncpg", asyncpg.__version__)
else:
    run({name[6:]: synchronous(check) for name, check in list(globals().items()) if name.startswith("check_")})
