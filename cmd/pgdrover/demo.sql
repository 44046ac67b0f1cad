-- The schema that `pgdrover dev` shows PgDrover with: a small web shop with many tenants. Every table that has the
-- column tenant_id is sharded by it; countries and currencies are copied to all shards; migrations lives on one.

create table tenants (
    tenant_id bigint primary key,
    name      text not null,
    country   text not null,
    plan      text not null default 'free',
    created   timestamptz not null default now()
);

create table users (
    tenant_id bigint not null,
    id        bigint not null,
    email     text not null,
    name      text not null,
    last_seen timestamptz,
    primary key (tenant_id, id),
    unique (tenant_id, email)
);

create table items (
    tenant_id bigint not null,
    id        bigint not null,
    name      text not null,
    price     numeric(12, 2) not null,
    stock     integer not null default 0,
    primary key (tenant_id, id)
);

create table orders (
    tenant_id bigint not null,
    id        bigint not null,
    user_id   bigint,
    status    text not null default 'new',
    total     numeric(12, 2) not null default 0,
    created   timestamptz not null default now(),
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id)
);

create table order_lines (
    tenant_id bigint not null,
    order_id  bigint not null,
    line      integer not null,
    item_id   bigint not null,
    quantity  integer not null,
    primary key (tenant_id, order_id, line),
    foreign key (tenant_id, order_id) references orders (tenant_id, id) on delete cascade,
    foreign key (tenant_id, item_id) references items (tenant_id, id)
);

create index orders_created on orders (tenant_id, created);

create table countries (
    code     text primary key,
    name     text not null,
    currency text not null
);

create table currencies (
    code   text primary key,
    digits smallint not null
);

create table migrations (
    version integer primary key,
    applied timestamptz not null default now()
);
