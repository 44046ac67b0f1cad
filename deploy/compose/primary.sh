#!/bin/sh
# Runs once in a primary that the official PostgreSQL image has just initialised: makes the application's user and
# database, and lets replicas connect.
set -eu
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres --set=password="$APP_PG_PASSWORD" <<'SQL'
create role app login password :'password';
create database app owner app;
SQL
echo 'host replication all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
