// node-postgres, with pg-cursor and pg-copy-streams.
'use strict'

const assert = require('node:assert').strict
const fs = require('node:fs')
const path = require('node:path')
const { Readable } = require('node:stream')
const { pipeline } = require('node:stream/promises')

const { Client, Pool, types } = require('pg')
const Cursor = require('pg-cursor')
const copy = require('pg-copy-streams')

const [A, B] = (process.env.DRIVERS_TENANTS || '42 43').split(' ').map(Number)
const NODES = (process.env.DRIVERS_NODES || '').split(' ').filter(Boolean)
const MOVES = process.env.DRIVERS_MOVES === '1'
const SECONDS = 20
const TYPES = 'i2, i4, i8, num, f8, txt, bin, flag, day, at, doc, docb, uid, ints, texts'
const SAME = `select count(*)::int as n from driver_types a join driver_types b on b.tenant_id = a.tenant_id
  where a.tenant_id = $1 and b.tenant_id = a.tenant_id and a.id = $2 and b.id = $3
  and (a.i2, a.i4, a.i8, a.num, a.f8, a.txt, a.bin, a.flag, a.day, a.at, a.doc::jsonb, a.docb, a.uid, a.ints, a.texts)
  is not distinct from (b.i2, b.i4, b.i8, b.num, b.f8, b.txt, b.bin, b.flag, b.day, b.at, b.doc::jsonb, b.docb, b.uid, b.ints, b.texts)`
const INSERT = 'insert into users (tenant_id, id, email, name) values ($1, $2, $3, $4)'
const DOC = { a: [1, 2, { b: null }], c: '\u00e9' }
const ROW = [
  -32768, 2147483647, '-9223372036854775808', '12345678901234567890.123456789', 3.141592653589793,
  'h\u00e9llo \u2192 \u4e16\u754c \u{1F418} "q" \'s\' \\ %s $1 ?', Buffer.from([0, 1, 0xff, 0x5c, 0x27, 0]), true, '2024-02-29',
  '2024-02-29 12:34:56.789012+00', DOC, DOC, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', [1, null, -3], ['a', 'b c', null, '\u00e9"x'],
]
types.setTypeParser(types.builtins.DATE, (text) => text)

let open = []
async function connect(options = {}) {
  const client = new Client(options)
  client.on('error', () => {})
  await client.connect()
  open.push(client)
  return client
}

async function scene(count = 1) {
  const clients = []
  for (let i = 0; i < count; i++) clients.push(await connect())
  for (const tenant of [A, B]) {
    for (const table of ['orders', 'users']) await clients[0].query(`delete from ${table} where tenant_id = $1 and id >= 1000`, [tenant])
  }
  return clients
}

const value = async (client, text, values) => Object.values((await client.query(text, values)).rows[0])[0]

async function fails(state, promise) {
  let error
  try {
    await promise
  } catch (e) {
    error = e
  }
  assert.ok(error, `no error, want ${state}`)
  assert.equal(error.code, state, `${error.code}: ${error.message}`)
  return error
}

async function count(client, tenant = A) {
  await client.query('begin') // so that the primary answers
  const n = await value(client, 'select count(*)::int from users where tenant_id = $1 and id >= 1000', [tenant])
  await client.query('rollback')
  return n
}

async function holder() {
  const client = await connect()
  await client.query('begin')
  await client.query('select 1 from users where tenant_id = $1 and id = 1', [A])
  return client
}

const insertText = (n) => `insert into users (tenant_id, id, email, name) values (${A}, ${n}, '${n}', 'm')`

const checks = {
  async connect() {
    const client = await connect()
    assert.equal(await value(client, 'select 1'), 1)
    await fails('28P01', connect({ password: 'wrong' }))
    await fails('3D000', connect({ database: process.env.PGDATABASE + 'x' }))
  },

  async tls() {
    const client = await connect({ ssl: { rejectUnauthorized: false } })
    assert.equal(await value(client, 'select 1'), 1)
    assert.ok(client.connection.stream.encrypted)
  },

  async types_text() {
    const [client] = await scene()
    await client.query("set time zone 'UTC'")
    await client.query('delete from driver_types where tenant_id = $1 and id = 1000', [A])
    await client.query(`insert into driver_types (tenant_id, id, ${TYPES}) values ($1, 1000, ${ROW.map((_, i) => '$' + (i + 2))})`, [A, ...ROW])
    assert.equal(await value(client, SAME, [A, 1, 1000]), 1)
    const got = (await client.query({ text: `select ${TYPES} from driver_types where tenant_id = $1 and id = 1000`, values: [A], rowMode: 'array' })).rows[0]
    got[9] = got[9].toISOString()
    assert.deepEqual(got, [...ROW.slice(0, 9), '2024-02-29T12:34:56.789Z', ...ROW.slice(10)])
    const nulls = await client.query({ text: `select ${TYPES} from driver_types where tenant_id = $1 and id = 2`, values: [A], rowMode: 'array' })
    assert.deepEqual(nulls.rows[0], ROW.map(() => null))
  },

  async crud() {
    const [client] = await scene()
    for (const tenant of [A, B]) {
      assert.equal(await value(client, INSERT + ' returning id::int', [tenant, 1000, 'e', 'T']), 1000)
      const orders = await client.query('insert into orders (tenant_id, id, user_id, total) values ($1, 1000, 1000, 1.25), ($1, 1001, 1000, $2)', [tenant, '2.50'])
      assert.equal(orders.rowCount, 2)
    }
    for (const tenant of [A, B]) {
      const joined = 'select sum(o.total) from users u left join orders o on o.tenant_id = u.tenant_id and o.user_id = u.id where u.tenant_id = $1 and u.id = 1000'
      assert.equal(await value(client, joined, [tenant]), '3.75')
      assert.equal((await client.query("update users set name = 'new' where tenant_id = $1 and id >= 1000", [tenant])).rowCount, 1)
      const upsert = INSERT + ' on conflict (tenant_id, id) do update set name = users.name || excluded.name returning name'
      assert.equal(await value(client, upsert, [tenant, 1000, 'x', 'y']), 'newy')
      assert.equal((await client.query('delete from orders where tenant_id = $1 and id = any($2)', [tenant, [1000, 1001]])).rowCount, 2)
    }
  },

  async transaction() {
    const [one, two] = await scene(2)
    await one.query('begin')
    await one.query(INSERT, [A, 1000, 'e', 'n'])
    assert.equal(await count(two), 0)
    await one.query('commit')
    assert.equal(await count(two), 1)
    await one.query('begin isolation level serializable')
    await one.query(INSERT, [A, 1001, 'f', 'n'])
    await one.query('rollback')
    assert.equal(await count(two), 1)
  },

  async savepoint() {
    const [client] = await scene()
    await client.query('begin')
    await client.query(INSERT, [A, 1000, 'e', 'n'])
    await client.query('savepoint s')
    await fails('23505', client.query(INSERT, [A, 1000, 'f', 'n']))
    await fails('25P02', client.query('select 1'))
    await client.query('rollback to s')
    await client.query(INSERT, [A, 1001, 'g', 'n'])
    await client.query('commit')
    assert.equal(await count(client), 2)
  },

  async aborted() {
    const [client] = await scene()
    await client.query('begin')
    await client.query(INSERT, [A, 1000, 'e', 'n'])
    await fails('22012', client.query('select 1/$1::int', [0]))
    await fails('25P02', client.query('select $1::int', [1]))
    await fails('25P02', client.query('select 1'))
    assert.equal((await client.query('commit')).command, 'ROLLBACK')
    assert.equal(await count(client), 0)
  },

  async prepared() {
    const clients = await scene(4)
    for (let turn = 0; turn < 3; turn++) {
      for (let n = 0; n < 25; n++) {
        for (const client of clients) {
          const text = `select count(*)::int + ${n} + $1::int as n from users where tenant_id = $2 and id < 1000`
          for (const tenant of [A, B]) assert.equal((await client.query({ name: `s${n}`, text, values: [turn, tenant] })).rows[0].n, 3 + n + turn)
        }
      }
    }
    const seen = new Set()
    for (let i = 0; i < 4; i++) {
      for (let k = 0; k < 3; k++) {
        const got = await clients[0].query({ name: 'locked', text: 'select pg_backend_pid() as pid from users where tenant_id = $1 and id = 1 for update', values: [A] })
        seen.add(got.rows[0].pid)
      }
      await holder()
    }
    assert.ok(!MOVES || seen.size > 1, 'all on one backend: nothing was tried')
  },

  async reprepare() {
    const [one, two] = await scene(2)
    for (let n = 0; n < 20; n++) {
      for (const [i, client] of [one, two].entries()) {
        client.connection.close({ type: 'S', name: 'mine' }, true) // node-postgres itself never closes one
        client.connection.parsedStatements = {}
        const got = await client.query({ name: 'mine', text: `select ${n * 2 + i} + $1::int as n from users where tenant_id = $2 and id = 1`, values: [0, [A, B][n % 2]] })
        assert.equal(got.rows[0].n, n * 2 + i)
      }
    }
    one.connection.parsedStatements = {}
    await fails('42P05', one.query({ name: 'mine', text: 'select 1' }))
    assert.equal(await value(one, 'select 1'), 1)
  },

  async sql_prepare() {
    const [client] = await scene()
    await client.query('prepare ps (bigint) as select name from users where tenant_id = $1 and id = 1 for update')
    for (let i = 0; i < 3; i++) {
      for (const tenant of [A, B]) assert.equal(await value(client, `execute ps(${tenant})`), 'User 1')
      await holder()
    }
    await client.query('deallocate ps')
    await fails('26000', client.query(`execute ps(${A})`))
  },

  async plan_change() {
    const [client, other] = await scene(2)
    await other.query('alter table driver_columns drop column if exists b')
    await other.query('delete from driver_columns where tenant_id = $1', [A])
    await other.query("insert into driver_columns (tenant_id, id, a) values ($1, 1, 'a')", [A])
    const read = () => client.query({ name: 'read', text: 'select * from driver_columns where tenant_id = $1 and id = 1 for update', values: [A] })
    for (let i = 0; i < 7; i++) assert.equal((await read()).fields.length, 3)
    await other.query("alter table driver_columns add column b text default 'b'")
    try {
      assert.deepEqual(Object.keys((await read()).rows[0]), ['tenant_id', 'id', 'a', 'b'])
    } catch (error) {
      assert.equal(error.code, '0A000', error.message) // PostgreSQL's own: cached plan must not change result type
    }
    await other.query('alter table driver_columns drop column b')
    assert.equal((await read()).fields.length, 3)
  },

  async batch() {
    const [client] = await scene()
    const all = [] // queries are queued by the client, and sent one by one
    for (let n = 0; n < 300; n++) all.push(client.query(INSERT, [[A, B][n % 2], 1000 + n, `${n}`, 'n']))
    all.push(assert.rejects(client.query(INSERT, [A, 1000, 'again', 'n']), { code: '23505' }))
    await Promise.all(all)
    assert.equal(await count(client), 150)
  },

  async multi() {
    const [client] = await scene()
    const got = await client.query(`${insertText(1000)}; ${insertText(1001)}; select count(*)::int as n from users where tenant_id = ${A}`)
    assert.deepEqual([got.length, got[1].command, got[2].rows[0].n], [3, 'INSERT', 5])
    await fails('22012', client.query(`${insertText(1002)}; select 1/0; ${insertText(1003)}`))
    assert.equal(await count(client), 2)
    await client.query(`begin; ${insertText(1002)}; commit; ${insertText(1003)}`)
    assert.equal(await count(client), 4)
  },

  async copy_in() {
    const [client] = await scene()
    await client.query(`set pgdrover.tenant = '${A}'`)
    function* lines(wrong) {
      for (let n = 0; n < 5000; n++) yield `${A}\t${wrong ? 'x' : 1000 + n}\t${n}@x\tna\\tme\n`
    }
    const text = 'copy users (tenant_id, id, email, name) from stdin'
    const stream = client.query(copy.from(text))
    await pipeline(Readable.from(lines()), stream)
    assert.equal(stream.rowCount, 5000)
    assert.equal(await count(client), 5000)
    await fails('22P02', pipeline(Readable.from(lines(true)), client.query(copy.from(text))))
    assert.equal(await count(client), 5000)
    await client.query('reset pgdrover.tenant')
    await pipeline(Readable.from([`${B},1000,e,n\n`]), client.query(copy.from(`/* pgdrover: tenant=${B} */ ${text} (format csv)`)))
    assert.equal(await count(client, B), 1)
  },

  async copy_out() {
    const [client] = await scene()
    const read = async (text) => {
      const chunks = []
      for await (const chunk of client.query(copy.to(text))) chunks.push(chunk)
      return Buffer.concat(chunks).toString()
    }
    assert.equal(await read(`copy (select id, name from users where tenant_id = ${A} order by id) to stdout`), '1\tUser 1\n2\tUser 2\n3\tUser 3\n')
    assert.equal((await read(`copy (select generate_series(1, 50000) from users where tenant_id = ${B} and id = 1) to stdout`)).split('\n').length, 50001)
    await fails('22012', read('copy (select 1 / (g - 5000) from generate_series(1, 9999) g) to stdout'))
    assert.equal(await value(client, 'select 1'), 1)
  },

  async cursor() {
    const [client] = await scene()
    for (const begin of [true, false]) { // outside a transaction too: a portal is read until its Sync
      if (begin) await client.query('begin')
      const cursor = client.query(new Cursor('select g from users u, generate_series(1, 100) g where tenant_id = $1 and u.id = 1 order by g', [A]))
      let n = 0
      for (let rows = await cursor.read(7); rows.length > 0; rows = await cursor.read(7)) for (const row of rows) assert.equal(row.g, ++n)
      assert.equal(n, 100)
      await cursor.close()
      const early = client.query(new Cursor('select generate_series(1, 100) from users where tenant_id = $1 and id = 1', [begin ? A : B]))
      assert.equal((await early.read(3)).length, 3)
      await early.close() // before its end
      if (begin) await client.query('commit')
      assert.equal(await value(client, 'select 1'), 1)
    }
  },

  async cancel() {
    const [client] = await scene()
    const sleeping = fails('57014', client.query('select pg_sleep(15)'))
    await new Promise((resolve) => setTimeout(resolve, 300))
    const canceller = new Client()
    canceller.on('error', () => {})
    canceller.cancel(client, client.activeQuery || client._activeQuery)
    const begun = Date.now()
    await sleeping
    assert.ok(Date.now() - begun < 5000, 'the cancel came late')
    assert.equal(await value(client, 'select 1'), 1)
  },

  async timeout() {
    const client = await connect({ statement_timeout: 200 })
    await fails('57014', client.query('select pg_sleep(5)'))
    await client.query('set statement_timeout = 0')
    await client.query('select pg_sleep(0.3)')
  },

  async notify() {
    const [client, other] = await scene(2)
    const got = []
    const two = new Promise((resolve) => client.on('notification', (n) => got.push(n.payload) === 2 && resolve()))
    await client.query('listen drivers')
    await other.query("select pg_notify('drivers', 'from another')")
    await client.query("notify drivers, 'from itself'")
    await Promise.race([two, new Promise((_, reject) => setTimeout(() => reject(new Error(`notifications: ${got}`)), 5000))])
    assert.deepEqual(got.sort(), ['from another', 'from itself'])
  },

  async notice() {
    const [client] = await scene()
    const got = []
    client.on('notice', (n) => got.push(`${n.severity} ${n.message}`))
    await client.query(`set pgdrover.tenant = '${A}'`)
    await client.query("do $$ begin raise notice 'here it is'; end $$")
    assert.deepEqual(got, ['NOTICE here it is'])
  },

  async errors() {
    const [client] = await scene()
    await client.query(INSERT, [A, 1000, 'e', 'n'])
    const error = await fails('23505', client.query(INSERT, [A, 1000, 'f', 'n']))
    assert.deepEqual([error.constraint, error.table, error.schema, error.severity], ['users_pkey', 'users', 'public', 'ERROR'])
    await fails('23503', client.query('insert into orders (tenant_id, id, user_id) values ($1, 1000, 9999)', [A]))
    assert.equal((await fails('23502', client.query('insert into users (tenant_id, id, email) values ($1, 1001, $2)', [A, 'f']))).column, 'name')
    for (const [state, text] of [['42P01', 'select * from no_such_table where 1 = $1'], ['42703', 'select nothing from users where tenant_id = $1'], ['42601', 'selec $1']]) {
      await fails(state, client.query(text, [A]))
      await fails(state, client.query(text.replace('$1', A)))
      assert.equal(await value(client, 'select count(*)::int from users where tenant_id = $1 and id = 1', [A]), 1)
    }
  },

  async settings() {
    const [client, other] = await scene(2)
    const before = await value(other, 'show timezone')
    const told = {}
    client.connection.on('parameterStatus', (p) => { told[p.parameterName] = p.parameterValue })
    await client.query("set time zone 'Asia/Tokyo'; set search_path = public, pg_temp; set application_name = 'it is mine'")
    assert.deepEqual([told.TimeZone, told.application_name], ['Asia/Tokyo', 'it is mine'])
    const read = `select concat_ws('|', current_setting('TimeZone'), current_setting('search_path'), current_setting('application_name'))
      from users where tenant_id = $1 and id = 1 for update`
    for (let i = 0; i < 3; i++) {
      for (const tenant of [A, B]) assert.equal(await value(client, read, [tenant]), 'Asia/Tokyo|public, pg_temp|it is mine')
      assert.equal(await value(other, 'show timezone'), before)
      await holder()
    }
    await client.query('begin; set time zone 0; rollback')
    assert.equal(told.TimeZone, 'Asia/Tokyo')
    await client.query('reset all')
    assert.equal(told.TimeZone, before)
    assert.equal(await value(client, 'show timezone'), before)
  },

  async terminated() {
    const kill = async (pid) => {
      for (const connectionString of NODES) {
        const node = await connect({ connectionString })
        await node.query('select pg_terminate_backend(pid) from pg_stat_activity where pid = $1', [pid])
      }
    }
    const pid = (client, more = '') => value(client, 'select pg_backend_pid() from users where tenant_id = $1 and id = 1' + more, [A])
    let [client] = await scene()
    await client.query('begin')
    await kill(await pid(client))
    await assert.rejects(client.query('select 1 from users where tenant_id = $1 and id = 1', [A]), 'a transaction went on without its backend')
    client = await connect()
    await kill(await pid(client, ' for update'))
    await new Promise((resolve) => setTimeout(resolve, 200))
    if (MOVES) await pid(client, ' for update')
    client = await connect()
    assert.ok(await pid(client))
  },

  async pool() {
    const [client] = await scene()
    for (const tenant of [A, B]) await client.query('update driver_counters set n = 0 where tenant_id = $1 and id = 1', [tenant])
    const pool = new Pool({ max: 10 })
    await Promise.all([...Array(20).keys()].map(async (number) => {
      for (let turn = 0; turn < 10; turn++) {
        const own = await pool.connect()
        await own.query('begin')
        await own.query('update driver_counters set n = n + 1 where tenant_id = $1 and id = 1', [[A, B][(number + turn) % 2]])
        await own.query('commit')
        own.release()
      }
    }))
    await pool.end()
    for (const tenant of [A, B]) assert.equal(await value(client, 'select n::int from driver_counters where tenant_id = $1 and id = 1 for update', [tenant]), 100)
  },

  async short() {
    await Promise.all([...Array(10).keys()].map(async (number) => {
      for (let turn = 0; turn < 4; turn++) {
        const client = new Client()
        await client.connect()
        assert.equal(await value(client, 'select name from users where tenant_id = $1 and id = 1', [[A, B][number % 2]]), 'User 1')
        await client.end()
      }
    }))
  },
}

async function main() {
  if (process.argv[2] === 'probe') return console.log('node-postgres', require('pg/package.json').version)
  const list = fs.readFileSync(path.join(__dirname, '..', 'checks.txt'), 'utf8').split('\n').filter((line) => line && line[0] !== '#')
  const wanted = (process.env.DRIVERS_CHECKS || '').split(' ').filter(Boolean)
  for (const name of wanted.length ? wanted : list.map((line) => line.split(/\s/)[0])) {
    if (!checks[name]) {
      console.log(`skip ${name}: ${name === 'types_binary' ? 'the driver reads binary fields as UTF-8' : 'the driver has no such thing'}`)
      continue
    }
    let timer
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`did not end within ${SECONDS} s`)), SECONDS * 1000) })
    try {
      await Promise.race([checks[name](), late])
      console.log(`ok ${name}`)
    } catch (error) {
      process.exitCode = 1
      const at = /main\.js:(\d+)/.exec((error.stack || '').split('\n').filter((line) => !/fails|value/.test(line)).join('\n'))
      console.log(`FAIL ${name}: ${error.message.replace(/\n/g, ' | ').slice(0, 300)} (line ${at && at[1]})`)
    }
    clearTimeout(timer)
    for (const client of open) client.end().catch(() => {})
    open = []
  }
  process.exit()
}

main()
