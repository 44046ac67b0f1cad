# Active Record, with its pool, migrations and prepared statements.
begin
  require 'active_record'
  require 'pg'
rescue LoadError => e
  abort e.message
end
if ARGV == ['probe']
  puts "Active Record #{ActiveRecord.version}"
  exit
end
require_relative '../report'

CONFIG = { adapter: 'postgresql', host: ENV['PGHOST'], port: ENV['PGPORT'].to_i, username: ENV['PGUSER'], password: ENV['PGPASSWORD'], database: ENV['PGDATABASE'], pool: 10 }.freeze
ActiveRecord::Base.establish_connection(CONFIG)
ActiveRecord::Base.default_timezone = :utc
ActiveRecord::Migration.verbose = false

# Active Record has one column for a primary key; queries name the tenant besides.
class User < ActiveRecord::Base
  self.primary_key = 'id'
end

class Order < ActiveRecord::Base
  self.primary_key = 'id'
end

class Types < ActiveRecord::Base
  self.table_name = 'driver_types'
  self.primary_key = 'id'
end

class Counter < ActiveRecord::Base
  self.table_name = 'driver_counters'
  self.primary_key = 'id'
end

# A second pool, to look from another connection and to connect in other ways.
class Other < ActiveRecord::Base
  self.abstract_class = true
  establish_connection(CONFIG)
end

def db
  ActiveRecord::Base.connection
end

def scene
  [A, B].each do |tenant|
    Order.where(tenant_id: tenant).where('id >= 1000').delete_all
    User.where(tenant_id: tenant).where('id >= 1000').delete_all
  end
end

def user(tenant, id)
  User.create!(tenant_id: tenant, id: id, email: "#{id}@x", name: "n#{id}")
end

def made(tenant = A)
  Other.transaction { Other.connection.select_value("select count(*) from users where tenant_id = #{tenant} and id >= 1000") }
end

def fails(state)
  begin
    yield
  rescue ActiveRecord::StatementInvalid => e
    got = e.cause.respond_to?(:result) && e.cause.result&.error_field(PG::PG_DIAG_SQLSTATE)
    raise "got #{got}, want #{state}: #{e.message}" unless got == state
    return e
  end
  raise "no error, want #{state}"
end

check :connect do
  expect(db.select_value('select 1'), 1)
  { { password: 'wrong' } => /password authentication failed/, { database: "#{ENV['PGDATABASE']}x" } => /does not exist|No such database|could not find your database/i }.each do |more, says|
    begin
      Other.establish_connection(CONFIG.merge(more))
      Other.connection
      raise "no error: #{says}"
    rescue ActiveRecord::ActiveRecordError, PG::Error => e
      raise unless e.message =~ says
    ensure
      Other.establish_connection(CONFIG)
    end
  end
end

check :tls do
  Other.establish_connection(CONFIG.merge(sslmode: 'require'))
  expect(Other.connection.raw_connection.ssl_in_use?, true)
  Other.establish_connection(CONFIG)
end

ROW = { i2: -32768, i4: 2147483647, i8: -9223372036854775808, num: BigDecimal('12345678901234567890.123456789'), f8: 3.141592653589793, txt: TEXT, bin: "\x00\x01\xff\x5c\x27\x00".b, flag: true,
        day: Date.new(2024, 2, 29), at: Time.utc(2024, 2, 29, 12, 34, 56 + Rational(789_012, 1_000_000)), doc: { 'a' => [1, 2, { 'b' => nil }], 'c' => 'é' },
        docb: { 'a' => [1, 2, { 'b' => nil }], 'c' => 'é' }, uid: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', ints: [1, nil, -3], texts: ['a', 'b c', nil, 'é"x'] }.freeze

check :types_text do
  Types.where(tenant_id: A, id: 1000).delete_all
  Types.create!(tenant_id: A, id: 1000, **ROW)
  expect(db.select_value(SAME.gsub('$1', A.to_s).sub('$2', '1').sub('$3', '1000')), 1, 'the same in the server\'s eyes')
  got = Types.find_by!(tenant_id: A, id: 1000)
  ROW.each { |name, value| expect(got.public_send(name), value, name) }
  expect(Types.find_by!(tenant_id: A, id: 2).texts, nil)
end

check :crud do
  scene
  [A, B].each do |tenant|
    User.transaction do
      user(tenant, 1000)
      3.times { |n| Order.create!(tenant_id: tenant, id: 1000 + n, user_id: 1000, total: 1.25) }
    end
  end
  [A, B].each do |tenant|
    mine = Order.where(tenant_id: tenant).where('id >= 1000')
    expect(mine.sum(:total), BigDecimal('3.75'))
    expect(mine.group(:status).count, { 'new' => 3 })
    expect(User.where(tenant_id: tenant).joins('join orders o on o.tenant_id = users.tenant_id and o.user_id = users.id').where(id: 1000).count, 3)
    one = User.find_by!(tenant_id: tenant, id: 1000)
    expect(User.where(tenant_id: tenant, id: 1000).update_all(name: 'new'), 1)
    expect(one.name, 'n1000')
    User.upsert_all([{ tenant_id: tenant, id: 1000, email: 'x', name: 'up' }], unique_by: %i[tenant_id id])
    expect(User.where(tenant_id: tenant, id: 1000).pluck(:name), ['up'])
    expect(User.where(tenant_id: tenant).exists?(1000), true)
    expect(mine.order(:id).first.id, 1000)
    expect(mine.where(id: [1000, 1001, 1002]).delete_all, 3)
  end
end

check :transaction do
  scene
  User.transaction do
    user(A, 1000)
    expect(made, 0)
  end
  expect(made, 1)
  User.transaction(isolation: :serializable) do
    user(A, 1001)
    raise ActiveRecord::Rollback
  end
  expect(made, 1)
end

check :savepoint do
  scene
  User.transaction do
    user(A, 1000)
    begin
      User.transaction(requires_new: true) { user(A, 1000) }
      raise 'no error'
    rescue ActiveRecord::RecordNotUnique
      User.transaction(requires_new: true) { user(A, 1001) }
    end
  end
  expect(made, 2)
end

check :aborted do
  scene
  User.transaction do
    user(A, 1000)
    fails('22012') { db.execute('select 1/0') }
    fails('25P02') { db.execute('select 1') }
    fails('25P02') { User.find_by(tenant_id: A, id: 1) }
    raise ActiveRecord::Rollback
  end
  expect(made, 0)
end

check :prepared do
  # Each shape of a query is a prepared statement of the connection, a1, a2, …, the same names on every connection.
  threads = Array.new(4) do |number|
    Thread.new do
      Thread.current.report_on_exception = false
      ActiveRecord::Base.connection_pool.with_connection do
        3.times do
          25.times do |n|
            [A, B].each { |tenant| expect(User.where(tenant_id: tenant).where(User.arel_table[:id].lt(4 + n)).where("#{number} = #{number}").where(id: [1, 2, 3]).count, 3) }
          end
        end
      end
    end
  end
  threads.each(&:join)
  expect(db.prepared_statements, true)
end

check :reprepare do
  Other.establish_connection(CONFIG.merge(statement_limit: 3)) # the oldest is deallocated
  2.times { 10.times { |n| expect(Other.connection.select_value("select #{n} + $1::int from users where tenant_id = $2 and id = 1", 'x', [1, A]), n + 1) } }
  Other.connection.clear_cache!
  expect(Other.connection.select_value('select $1::int from users where tenant_id = $2 and id = 1', 'x', [1, B]), 1)
  Other.establish_connection(CONFIG)
end

check :plan_change do
  model = Class.new(ActiveRecord::Base) do
    self.table_name = 'driver_columns'
    self.primary_key = 'id'
  end
  db.execute('alter table driver_columns drop column if exists b')
  db.execute("delete from driver_columns where tenant_id = #{A}")
  db.execute("insert into driver_columns (tenant_id, id, a) values (#{A}, 1, 'a')")
  read = -> { model.lock.where(tenant_id: A, id: 1).to_a.first.attributes.size }
  3.times { expect(read.call, 3) }
  Other.connection.execute("alter table driver_columns add column b text default 'b'")
  expect(read.call, 4) # it prepares again when it is told to
  Other.connection.execute('alter table driver_columns drop column b')
end

check :batch do
  scene
  User.insert_all(Array.new(500) { |n| { tenant_id: A, id: 1000 + n, email: n.to_s, name: 'n' } }, unique_by: %i[tenant_id id])
  expect(made, 500)
  seen = 0
  User.where(tenant_id: A).where('id >= 1000').find_each(batch_size: 100) { seen += 1 }
  expect(seen, 500)
end

check :timeout do
  Other.establish_connection(CONFIG.merge(variables: { statement_timeout: 200 }))
  fails('57014') { Other.connection.execute('select pg_sleep(5)') }
  Other.establish_connection(CONFIG)
end

check :notice do
  db.execute("set pgdrover.tenant = '#{A}'")
  got = []
  db.raw_connection.set_notice_processor { |text| got << text.strip }
  db.execute("do $$ begin raise warning 'here it is'; end $$") # the adapter asks for warnings at least
  db.execute('reset pgdrover.tenant')
  expect(got, ['WARNING:  here it is'])
end

check :errors do
  scene
  user(A, 1000)
  { '23505' => -> { user(A, 1000) }, '23503' => -> { Order.create!(tenant_id: A, id: 1000, user_id: 9999) }, '23502' => -> { User.create!(tenant_id: A, id: 1001, email: 'e') },
    '42P01' => -> { db.execute('select * from no_such_table') }, '22012' => -> { db.execute('select 1/0') }, '42601' => -> { db.execute('selec 1') } }.each do |state, work|
    fails(state, &work)
    expect(User.where(tenant_id: A, id: 1).count, 1)
  end
end

check :settings do
  Other.establish_connection(CONFIG.merge(variables: { timezone: 'Asia/Tokyo' }, schema_search_path: 'public'))
  [A, B].each do |tenant|
    read = "select current_setting('TimeZone') || '|' || current_setting('search_path') from users where tenant_id = #{tenant} and id = 1 for update"
    expect(Other.connection.select_value(read), 'Asia/Tokyo|public')
    expect(db.select_value(read).start_with?('UTC'), true)
  end
  Other.establish_connection(CONFIG)
end

check :catalog do
  expect((db.tables & %w[users orders countries]).sort, %w[countries orders users])
  expect(db.columns('orders').map(&:name), %w[tenant_id id user_id status total created])
  expect(db.indexes('orders').map(&:name), ['orders_created'])
  expect(db.foreign_keys('orders').size, 1)
  expect(db.primary_keys('orders'), %w[tenant_id id])
  expect(db.table_exists?('nothing'), false)
end

check :ddl do
  migration = Class.new(ActiveRecord::Migration[6.1]) do
    def change
      create_table :driver_ddl, id: false do |t|
        t.bigint :tenant_id, null: false
        t.bigint :id, null: false
        t.string :note, default: 'n'
        t.timestamps
      end
      add_index :driver_ddl, %i[tenant_id id], unique: true
    end
  end
  db.drop_table(:driver_ddl, if_exists: true)
  ActiveRecord::Base.transaction { migration.migrate(:up) }
  [A, B].each do |tenant|
    db.execute("insert into driver_ddl values (#{tenant}, 1, 'x', now(), now())")
    expect(db.select_value("select note from driver_ddl where tenant_id = #{tenant}"), 'x')
  end
  ActiveRecord::Base.transaction { migration.migrate(:down) }
end

check :terminated do
  begin
    User.transaction do
      pid = db.select_value("select pg_backend_pid() from users where tenant_id = #{A} and id = 1")
      NODES.each { |url| PG.connect(url).tap { |node| node.exec_params('select pg_terminate_backend(pid) from pg_stat_activity where pid = $1', [pid]) }.close }
      db.select_value("select 1 from users where tenant_id = #{A} and id = 1")
      raise 'a transaction went on without its backend'
    end
  rescue ActiveRecord::ActiveRecordError
    db.reconnect!
  end
  expect(User.where(tenant_id: A, id: 1).count, 1)
end

check :pool do
  [A, B].each { |tenant| Counter.where(tenant_id: tenant, id: 1).update_all(n: 0) }
  Array.new(20) do |number|
    Thread.new do
      Thread.current.report_on_exception = false
      10.times do |turn|
        ActiveRecord::Base.connection_pool.with_connection { Counter.where(tenant_id: [A, B][(number + turn) % 2], id: 1).update_all('n = n + 1') }
      end
    end
  end.each(&:join)
  [A, B].each { |tenant| expect(Counter.lock.find_by!(tenant_id: tenant, id: 1).n, 100) }
end

check :short do
  20.times do |turn|
    Other.establish_connection(CONFIG)
    expect(Other.connection.select_value("select name from users where tenant_id = #{[A, B][turn % 2]} and id = 1"), 'User 1')
    Other.remove_connection
  end
  Other.establish_connection(CONFIG)
end

run_checks
