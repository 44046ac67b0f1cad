#!/bin/sh
# Makes the demo's schema and rows through the proxy at $PROXY, then says what to try.
#
#   demo.sh SCHEMA.sql ROWS.sql
set -eu

app="postgres://app:$APP_PG_PASSWORD@$PROXY/app"
console="postgres://ops:$OPS_PASSWORD@$PROXY/pgdrover"
run() { psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "$@"; }

if [ "$(run --dbname="$app" -At --command="select to_regclass('orders') is null")" = t ]; then
	echo 'creating the demo schema through the proxy'
	run --dbname="$app" --file="$1"
	echo 'loading 300 tenants through the proxy'
	run --dbname="$app" --file="$2" >/dev/null
fi

cat <<TXT

PgDrover runs: 2 shards, each a primary with 1 replica, and Redis, in containers.

  postgres://app:$APP_PG_PASSWORD@127.0.0.1:6432/app

Try, in another terminal:

  psql postgres://app:$APP_PG_PASSWORD@127.0.0.1:6432/app -c "select * from orders where tenant_id = 42"
  psql postgres://ops:$OPS_PASSWORD@127.0.0.1:6432/pgdrover -c "show pools"
  curl http://127.0.0.1:6433/metrics

Where tenants live:

TXT
for tenant in 1 2 3 7 42 99 123 256 300; do
	printf '  tenant %s: %s\n' "$tenant" "$(run --dbname="$console" -Atx --command="show tenant '$tenant'" | sed -n 's/^shard|//p')"
done
