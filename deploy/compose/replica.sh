#!/bin/sh
# The entrypoint of a replica: copies the primary at the first start, then runs the server that the arguments name.
#
#   PGDATA             where the data is or goes
#   PRIMARY_HOST       the primary; PRIMARY_PORT, when it is not 5432
#   POSTGRES_PASSWORD  of the primary's superuser
#   REPLICA_SLOT       the slot in which the primary keeps what this replica still needs
set -eu

# PostgreSQL does not run as root.
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$(dirname "$PGDATA")"
	chown postgres:postgres "$(dirname "$PGDATA")"
	exec gosu postgres /bin/sh "$0" "$@"
fi

if [ ! -d "$PGDATA" ]; then
	export PGPASSWORD="$POSTGRES_PASSWORD"
	primary="host=$PRIMARY_HOST port=${PRIMARY_PORT:-5432} user=postgres application_name=$(hostname)"
	ask() { psql --no-psqlrc --quiet -At --dbname="$primary dbname=postgres" --set=ON_ERROR_STOP=1 --set=slot="$REPLICA_SLOT"; }
	tries=0
	until echo 'select 1' | ask >/dev/null 2>&1; do
		tries=$((tries + 1))
		if [ "$tries" -ge 60 ]; then
			echo "the primary $PRIMARY_HOST did not answer within a minute" >&2
			exit 1
		fi
		sleep 1
	done
	# A copy that broke off has left its slot and half a directory: begin again.
	echo "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = :'slot' and not active" | ask >/dev/null
	rm -rf "$PGDATA.part"
	pg_basebackup --dbname="$primary" --pgdata="$PGDATA.part" --write-recovery-conf --wal-method=stream \
		--checkpoint=fast --create-slot --slot="$REPLICA_SLOT"
	mv "$PGDATA.part" "$PGDATA"
	unset PGPASSWORD
fi

exec "$@"
