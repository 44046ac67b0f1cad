# ruby-pg.
begin
  require 'pg'
rescue LoadError => e
  abort e.message
end
if ARGV == ['probe']
  puts "ruby-pg #{PG::VERSION}, libpq #{PG.library_version}"
  exit
end
require_relative '../report'

INSERT = 'insert into users (tenant_id, id, email, name) values ($1, $2, $3, $4)'.freeze
LOCKED = 'select pg_backend_pid() from users where tenant_id = $1 and id = 1 for update'.freeze

def connect(**more)
  PG.connect(**{ host: ENV['PGHOST'], port: ENV['PGPORT'], user: ENV['PGUSER'], password: ENV['PGPASSWORD'], dbname: ENV['PGDATABASE'] }.merge(more))
end

def scene(count = 1)
  all = Array.new(count) { connect }
  [A, B].each { |tenant| %w[orders users].each { |table| all[0].exec_params("delete from #{table} where tenant_id = $1 and id >= 1000", [tenant]) } }
  all
end

def value(conn, sql, args = [])
  conn.exec_params(sql, args).getvalue(0, 0)
end

def fails(state)
  begin
    yield
  rescue PG::Error => e
    got = e.result&.error_field(PG::PG_DIAG_SQLSTATE)
    raise "got #{got}, want #{state}: #{e.message}" unless got == state
    return e
  end
  raise "no error, want #{state}"
end

# How many users checks have made, as the primary knows.
def made(conn, tenant = A)
  conn.exec('begin')
  value(conn, 'select count(*) from users where tenant_id = $1 and id >= 1000', [tenant]).to_i
ensure
  conn.exec('rollback')
end

def holder
  conn = connect
  conn.exec('begin')
  conn.exec_params('select 1 from users where tenant_id = $1 and id = 1', [A])
  conn
end

check :connect do
  conn = connect
  expect(value(conn, 'select 1'), '1')
  conn.close
  { { password: 'wrong' } => /password authentication failed/, { dbname: "#{ENV['PGDATABASE']}x" } => /does not exist/ }.each do |more, says|
    begin
      connect(**more)
      raise "no error: #{says}"
    rescue PG::ConnectionBad => e
      raise unless e.message =~ says
    end
  end
end

check :tls do
  conn = connect(sslmode: 'require')
  expect(value(conn, 'select 1'), '1')
  expect(conn.ssl_in_use?, true)
end

ROW = [-32768, 2147483647, -9223372036854775808, '12345678901234567890.123456789', 3.141592653589793, TEXT, "\x00\x01\xff\x5c\x27\x00".b, true, '2024-02-29',
       '2024-02-29 12:34:56.789012+00', '{"a": [1, 2, {"b": null}], "c": "é"}', '{"a": [1, 2, {"b": null}], "c": "é"}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
       '{1,NULL,-3}', '{a,"b c",NULL,"é\\"x"}'].freeze

check :types_text do
  conn, = scene
  conn.exec("set time zone 'UTC'")
  conn.exec_params('delete from driver_types where tenant_id = $1 and id = 1000', [A])
  args = ROW.each_with_index.map { |v, i| i == 6 ? { value: v, format: 1 } : v }
  conn.exec_params("insert into driver_types (tenant_id, id, #{TYPES}) values ($1, 1000, #{(2..16).map { |n| "$#{n}" }.join(', ')})", [A, *args])
  expect(value(conn, SAME, [A, 1, 1000]), '1', 'the same in the server\'s eyes')
  result = conn.exec_params("select #{TYPES} from driver_types where tenant_id = $1 and id = 1000", [A])
  conn.exec('select 1') # the driver's type map asks the catalog
  result.map_types!(PG::BasicTypeMapForResults.new(conn))
  got = result.values[0]
  expect([got[0], got[1], got[2], got[4], got[5], got[6], got[7], got[12]], [ROW[0], ROW[1], ROW[2], ROW[4], ROW[5], ROW[6], true, ROW[12]])
  expect(got[3], BigDecimal(ROW[3]))
  expect([got[13], got[14]], [[1, nil, -3], ['a', 'b c', nil, 'é"x']])
  expect(got[9].utc.strftime('%F %T.%6N'), '2024-02-29 12:34:56.789012')
  expect(conn.exec_params("select #{TYPES} from driver_types where tenant_id = $1 and id = 2", [A]).values[0], [nil] * 15)
end

check :types_binary do
  conn, = scene
  result = conn.exec_params('select i2, i4, i8, f8, txt, bin, flag, at from driver_types where tenant_id = $1 and id = 1', [{ value: [A].pack('q>'), type: 20, format: 1 }], 1)
  result.map_types!(PG::BasicTypeMapForResults.new(conn))
  got = result.values[0]
  expect(got[0..6], [ROW[0], ROW[1], ROW[2], ROW[4], TEXT, ROW[6], true])
  expect(got[7].utc.strftime('%F %T.%6N'), '2024-02-29 12:34:56.789012')
end

check :crud do
  conn, = scene
  [A, B].each do |tenant|
    expect(value(conn, "#{INSERT} returning id", [tenant, 1000, 'e', 'T']), '1000')
    expect(conn.exec_params('insert into orders (tenant_id, id, user_id, total) values ($1, 1000, 1000, 1.25), ($1, 1001, 1000, 2.50)', [tenant]).cmd_tuples, 2)
  end
  [A, B].each do |tenant|
    expect(value(conn, 'select sum(o.total) from users u natural join (select tenant_id, user_id as id, total from orders) o where u.tenant_id = $1 and o.tenant_id = $1 and u.id = 1000', [tenant]), '3.75')
    expect(conn.exec_params("update users set name = 'new' where tenant_id = $1 and id >= 1000", [tenant]).cmd_tuples, 1)
    expect(value(conn, "#{INSERT} on conflict (tenant_id, id) do update set name = users.name || excluded.name returning name", [tenant, 1000, 'x', 'y']), 'newy')
    expect(conn.exec_params('delete from orders where tenant_id = $1 and id = any($2)', [tenant, '{1000,1001}']).cmd_tuples, 2)
  end
end

check :transaction do
  one, two = scene(2)
  one.transaction do
    one.exec_params(INSERT, [A, 1000, 'e', 'n'])
    expect(made(two), 0)
  end
  expect(made(two), 1)
  begin
    one.transaction do
      one.exec_params(INSERT, [A, 1001, 'f', 'n'])
      raise ArgumentError
    end
  rescue ArgumentError
    expect(one.transaction_status, PG::PQTRANS_IDLE)
  end
  expect(made(two), 1)
end

check :savepoint do
  conn, = scene
  conn.transaction do
    conn.exec_params(INSERT, [A, 1000, 'e', 'n'])
    conn.exec('savepoint s')
    fails('23505') { conn.exec_params(INSERT, [A, 1000, 'f', 'n']) }
    fails('25P02') { conn.exec('select 1') }
    conn.exec('rollback to s')
    conn.exec_params(INSERT, [A, 1001, 'g', 'n'])
  end
  expect(made(conn), 2)
end

check :aborted do
  conn, = scene
  conn.exec('begin')
  conn.exec_params(INSERT, [A, 1000, 'e', 'n'])
  fails('22012') { conn.exec('select 1/0') }
  expect(conn.transaction_status, PG::PQTRANS_INERROR)
  fails('25P02') { conn.exec('select 1') }
  fails('25P02') { conn.exec_params('select 1 from users where tenant_id = $1', [A]) }
  expect(conn.exec('commit').cmd_status, 'ROLLBACK')
  expect(made(conn), 0)
end

check :prepared do
  all = scene(4)
  25.times { |n| all.each { |conn| conn.prepare("s#{n}", "select count(*) + #{n} + $1::int from users where tenant_id = $2 and id < 1000") } }
  3.times do |turn|
    25.times { |n| all.each { |conn| [A, B].each { |tenant| expect(conn.exec_prepared("s#{n}", [turn, tenant]).getvalue(0, 0).to_i, 3 + n + turn) } } }
  end
  all[0].prepare('locked', LOCKED)
  expect(all[0].describe_prepared('locked').nparams, 1)
  seen = {}
  held = Array.new(4) do
    3.times { seen[all[0].exec_prepared('locked', [A]).getvalue(0, 0)] = true }
    holder
  end
  expect(!MOVES || seen.size > 1, true, 'all on one backend: nothing was tried')
  (all + held).each(&:close)
end

check :reprepare do
  one, two = scene(2)
  20.times do |n|
    [one, two].each_with_index { |conn, i| conn.prepare('mine', "select #{n * 2 + i} from users where tenant_id = $1 and id = 1") }
    [one, two].each_with_index do |conn, i|
      expect(conn.exec_prepared('mine', [[A, B][n % 2]]).getvalue(0, 0), (n * 2 + i).to_s)
      conn.exec('deallocate mine')
    end
  end
  one.prepare('mine', 'select 1')
  fails('42P05') { one.prepare('mine', 'select 2') }
  expect(one.exec_prepared('mine').getvalue(0, 0), '1')
  one.exec('deallocate all')
  fails('26000') { one.exec_prepared('mine') }
end

check :sql_prepare do
  conn, = scene
  conn.exec('prepare ps (bigint) as select name from users where tenant_id = $1 and id = 1 for update')
  3.times.map do
    [A, B].each { |tenant| expect(conn.exec("execute ps(#{tenant})").getvalue(0, 0), 'User 1') }
    [A, B].each { |tenant| expect(conn.exec_prepared('ps', [tenant]).getvalue(0, 0), 'User 1') } # one namespace
    holder
  end
  conn.exec('deallocate ps')
  fails('26000') { conn.exec("execute ps(#{A})") }
end

check :plan_change do
  conn, other = scene(2)
  other.exec('alter table driver_columns drop column if exists b')
  other.exec_params('delete from driver_columns where tenant_id = $1', [A])
  other.exec_params("insert into driver_columns (tenant_id, id, a) values ($1, 1, 'a')", [A])
  conn.prepare('read', 'select * from driver_columns where tenant_id = $1 and id = 1 for update')
  7.times { expect(conn.exec_prepared('read', [A]).values, [[A.to_s, '1', 'a']]) }
  other.exec("alter table driver_columns add column b text default 'b'")
  begin
    expect(conn.exec_prepared('read', [A]).values, [[A.to_s, '1', 'a', 'b']])
  rescue PG::FeatureNotSupported => e # PostgreSQL's own: cached plan must not change result type
    raise unless e.message.include?('cached plan')
  end
  other.exec('alter table driver_columns drop column b')
end

check :batch do
  conn, = scene
  conn.enter_pipeline_mode
  300.times { |n| conn.send_query_params(INSERT, [A, 1000 + n, n.to_s, 'n']) }
  conn.pipeline_sync
  300.times do
    expect(conn.get_result.result_status, PG::PGRES_COMMAND_OK)
    expect(conn.get_result, nil)
  end
  expect(conn.get_result.result_status, PG::PGRES_PIPELINE_SYNC)
  [[2000, 'x'], [1000, 'y'], [2001, 'z']].each { |id, email| conn.send_query_params(INSERT, [A, id, email, 'n']) }
  conn.pipeline_sync
  states = []
  loop do
    result = conn.get_result or next
    break if result.result_status == PG::PGRES_PIPELINE_SYNC
    states << result.result_status
  rescue PG::UniqueViolation
    states << :unique
  end
  expect(states.first, PG::PGRES_COMMAND_OK)
  expect(states.include?(PG::PGRES_PIPELINE_ABORTED) || states.include?(:unique), true)
  conn.exit_pipeline_mode
  expect(made(conn), 300)
end

check :multi do
  conn, = scene
  text = ->(*ids) { ids.map { |id| "insert into users (tenant_id, id, email, name) values (#{A}, #{id}, '#{id}', 'm')" }.join('; ') }
  expect(conn.exec("#{text.call(1000, 1001)}; select count(*) from users where tenant_id = #{A}").getvalue(0, 0), '5')
  fails('22012') { conn.exec("#{text.call(1002)}; select 1/0") }
  expect(made(conn), 2)
end

check :copy_in do
  conn, = scene
  conn.exec("set pgdrover.tenant = '#{A}'")
  copy = 'copy users (tenant_id, id, email, name) from stdin'
  conn.copy_data(copy) { 5000.times { |n| conn.put_copy_data("#{A}\t#{1000 + n}\t#{n}@x\tna\\tme\n") } }
  expect(made(conn), 5000)
  fails('22P02') { conn.copy_data(copy) { 300.times { conn.put_copy_data("#{A}\tx\ty\tz\n" * 1000) } } }
  expect(made(conn), 5000)
  begin
    conn.copy_data(copy) { raise ArgumentError, 'given up' } # sends CopyFail
  rescue ArgumentError
    conn.discard_results
  end
  expect(made(conn), 5000)
  conn.exec('reset pgdrover.tenant')
  conn.copy_data("/* pgdrover: tenant=#{B} */ #{copy} (format csv)") { conn.put_copy_data("#{B},1000,e,n\n") }
  expect(made(conn, B), 1)
end

check :copy_out do
  conn, = scene
  read = lambda do |sql|
    all = +''
    conn.copy_data(sql) { while (row = conn.get_copy_data) do all << row end }
    all
  end
  expect(read.call("copy (select id, name from users where tenant_id = #{A} order by id) to stdout"), "1\tUser 1\n2\tUser 2\n3\tUser 3\n")
  expect(read.call("copy (select generate_series(1, 20000) from users where tenant_id = #{B} and id = 1) to stdout").lines.size, 20_000)
  fails('22012') { read.call('copy (select 1 / (g - 5000) from generate_series(1, 9999) g) to stdout') }
  expect(value(conn, 'select 1'), '1')
end

check :cursor do
  conn, = scene
  conn.transaction do
    conn.exec_params('declare mine cursor for select g from users u, generate_series(1, 100) g where tenant_id = $1 and u.id = 1 order by g', [A])
    got = []
    until (rows = conn.exec('fetch 7 from mine')).ntuples.zero? do got += rows.column_values(0) end
    expect(got, (1..100).map(&:to_s))
  end
  conn.send_query_params('select generate_series(1, 500) from users where tenant_id = $1 and id = 1', [B])
  conn.set_single_row_mode
  n = 0
  conn.get_result.stream_each { n += 1 }
  expect(n, 500)
end

check :cancel do
  conn, = scene
  begun = Time.now
  Thread.new { sleep 0.3; conn.cancel }
  fails('57014') { conn.exec('select pg_sleep(15)') }
  expect(Time.now - begun < 5, true, 'the cancel came late')
  expect(value(conn, 'select 1'), '1')
end

check :timeout do
  conn = connect(options: '-c statement_timeout=200')
  fails('57014') { conn.exec('select pg_sleep(5)') }
  conn.exec('set statement_timeout = 0')
  conn.exec('select pg_sleep(0.3)')
end

check :notify do
  conn, other = scene(2)
  conn.exec('listen drivers')
  other.exec("select pg_notify('drivers', 'from another')")
  conn.exec("notify drivers, 'from itself'")
  got = []
  2.times { conn.wait_for_notify(5) { |_, _, payload| got << payload } }
  expect(got.sort, ['from another', 'from itself'])
end

check :notice do
  conn, = scene
  got = []
  conn.set_notice_processor { |text| got << text.strip }
  conn.exec("set pgdrover.tenant = '#{A}'")
  conn.exec("do $$ begin raise notice 'here it is'; end $$")
  expect(got, ['NOTICE:  here it is'])
end

check :errors do
  conn, = scene
  conn.exec_params(INSERT, [A, 1000, 'e', 'n'])
  error = fails('23505') { conn.exec_params(INSERT, [A, 1000, 'f', 'n']) }
  expect([PG::PG_DIAG_CONSTRAINT_NAME, PG::PG_DIAG_TABLE_NAME].map { |field| error.result.error_field(field) }, %w[users_pkey users])
  fails('23503') { conn.exec_params('insert into orders (tenant_id, id, user_id) values ($1, 1000, 9999)', [A]) }
  fails('23502') { conn.exec_params('insert into users (tenant_id, id, email) values ($1, 1001, $2)', [A, 'f']) }
  { '42P01' => 'select $1::int from no_such_table', '42703' => 'select nothing from users where tenant_id = $1', '42601' => 'selec $1' }.each do |state, sql|
    fails(state) { conn.exec_params(sql, [A]) }
    fails(state) { conn.exec(sql.sub('$1', A.to_s)) }
    expect(value(conn, 'select count(*) from users where tenant_id = $1 and id = 1', [A]), '1')
  end
end

check :settings do
  conn, other = scene(2)
  before = value(other, 'show timezone')
  conn.exec("set time zone 'Asia/Tokyo'; set search_path = public, pg_temp; set application_name = 'it is mine'")
  expect([conn.parameter_status('TimeZone'), conn.parameter_status('application_name')], ['Asia/Tokyo', 'it is mine'])
  read = "select concat_ws('|', current_setting('TimeZone'), current_setting('search_path'), current_setting('application_name')) from users where tenant_id = $1 and id = 1 for update"
  held = Array.new(3) do
    [A, B].each { |tenant| expect(value(conn, read, [tenant]), 'Asia/Tokyo|public, pg_temp|it is mine') }
    expect(value(other, 'show timezone'), before)
    holder
  end
  conn.exec('begin; set time zone 0; rollback')
  expect(conn.parameter_status('TimeZone'), 'Asia/Tokyo')
  conn.reset # closes and connects anew
  expect(value(conn, 'show timezone'), before)
  held.each(&:close)
end

check :catalog do
  conn, = scene
  result = conn.exec_params('select total from orders where tenant_id = $1 limit 1', [A])
  oid = result.ftable(0)
  expect(value(conn, 'select relname from pg_class where oid = $1', [oid]), 'orders') unless MOVES # each shard has object identifiers of its own
  expect(conn.exec("select attname from pg_attribute where attrelid = 'orders'::regclass and attnum > 0 order by attnum").column_values(0), %w[tenant_id id user_id status total created])
end

check :ddl do
  conn, = scene
  conn.exec('drop table if exists driver_ddl')
  conn.transaction do
    conn.exec('create table driver_ddl (tenant_id bigint, id bigint, primary key (tenant_id, id))')
    conn.exec("alter table driver_ddl add column note text not null default 'n'")
  end
  [A, B].each do |tenant|
    conn.exec_params('insert into driver_ddl values ($1, 1)', [tenant])
    expect(value(conn, 'select note from driver_ddl where tenant_id = $1', [tenant]), 'n')
  end
  conn.exec('drop table driver_ddl')
end

check :terminated do
  kill = ->(pid) { NODES.each { |url| PG.connect(url).tap { |node| node.exec_params('select pg_terminate_backend(pid) from pg_stat_activity where pid = $1', [pid]) }.close } }
  conn, = scene
  conn.exec('begin')
  kill.call(value(conn, 'select pg_backend_pid() from users where tenant_id = $1 and id = 1', [A]))
  begin
    conn.exec_params('select 1 from users where tenant_id = $1 and id = 1', [A])
    raise 'a transaction went on without its backend'
  rescue PG::Error
    conn.reset
  end
  expect(value(conn, 'select name from users where tenant_id = $1 and id = 1', [A]), 'User 1')
  kill.call(value(conn, LOCKED, [A]))
  sleep 0.2
  value(conn, LOCKED, [A]) if MOVES
  expect(value(connect, 'select name from users where tenant_id = $1 and id = 1', [A]), 'User 1')
end

check :short do
  Array.new(10) do |number|
    Thread.new do
      Thread.current.report_on_exception = false
      4.times do
        conn = connect
        expect(value(conn, 'select name from users where tenant_id = $1 and id = 1', [[A, B][number % 2]]), 'User 1')
        conn.close
      end
    end
  end.each(&:join)
end

run_checks
