# Runs a program's checks and reports them.
require 'timeout'

A, B = (ENV['DRIVERS_TENANTS'] || '42 43').split.map(&:to_i)
NODES = (ENV['DRIVERS_NODES'] || '').split
MOVES = ENV['DRIVERS_MOVES'] == '1'
SECONDS = 20
TYPES = 'i2, i4, i8, num, f8, txt, bin, flag, day, at, doc, docb, uid, ints, texts'.freeze
TEXT = "h\u00e9llo \u2192 \u4e16\u754c \u{1F418} \"q\" 's' \\ %s $1 ?".freeze
# Whether rows 1 and 1000 of driver_types hold the same, as the server sees it: json has no equality.
SAME = <<~SQL.freeze
  select count(*) from driver_types a join driver_types b on b.tenant_id = a.tenant_id
  where a.tenant_id = $1 and b.tenant_id = a.tenant_id and a.id = $2 and b.id = $3
  and (a.i2, a.i4, a.i8, a.num, a.f8, a.txt, a.bin, a.flag, a.day, a.at, a.doc::jsonb, a.docb, a.uid, a.ints, a.texts)
  is not distinct from (b.i2, b.i4, b.i8, b.num, b.f8, b.txt, b.bin, b.flag, b.day, b.at, b.doc::jsonb, b.docb, b.uid, b.ints, b.texts)
SQL

CHECKS = {}

def check(name, &block)
  CHECKS[name.to_s] = block
end

def expect(got, want, what = '')
  raise "#{what} got #{got.inspect}, want #{want.inspect}" unless got == want
end

def run_checks
  $stdout.sync = true
  list = File.readlines(File.join(__dir__, 'checks.txt')).grep(/^[^#\s]/).map { |line| line.split.first }
  wanted = (ENV['DRIVERS_CHECKS'] || '').split
  failed = false
  (wanted.empty? ? list : wanted).each do |name|
    if CHECKS[name].nil?
      puts "skip #{name}: the driver has no such thing"
      next
    end
    begin
      Timeout.timeout(SECONDS) { CHECKS[name].call }
      puts "ok #{name}"
    rescue Exception => e # an interrupt too is a failed check
      failed = true
      at = (e.backtrace || []).find { |line| line.include?('main.rb') }
      puts "FAIL #{name}: #{e.class}: #{e.message.gsub(/\s*\n\s*/, ' | ')[0, 300]} (#{at.to_s[/main\.rb:\d+/]})"
    end
  end
  exit!(failed ? 1 : 0)
end
