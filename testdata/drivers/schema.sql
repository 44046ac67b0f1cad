-- What the programs need beside the demo's schema. It is run once on each target.

create table driver_types (
    tenant_id bigint not null,
    id        bigint not null,
    i2        smallint,
    i4        integer,
    i8        bigint,
    num       numeric,
    f8        double precision,
    txt       text,
    bin       bytea,
    flag      boolean,
    day       date,
    at        timestamptz,
    doc       json,
    docb      jsonb,
    uid       uuid,
    ints      integer[],
    texts     text[],
    primary key (tenant_id, id)
);

create table driver_counters (
    tenant_id bigint not null,
    id        bigint not null,
    n         bigint not null default 0,
    primary key (tenant_id, id)
);

create table driver_columns (
    tenant_id bigint not null,
    id        bigint not null,
    a         text,
    primary key (tenant_id, id)
);
