-- The rows that the programs compare theirs with, of tenant :tenant.

insert into driver_types (tenant_id, id, i2, i4, i8, num, f8, txt, bin, flag, day, at, doc, docb, uid, ints, texts) values
    (:tenant, 1, -32768, 2147483647, -9223372036854775808, 12345678901234567890.123456789, 3.141592653589793,
     E'h\u00e9llo \u2192 \u4e16\u754c \U0001f418 "q" ''s'' \\ %s $1 ?', '\x0001ff5c2700', true, '2024-02-29',
     '2024-02-29 12:34:56.789012+00', '{"a": [1, 2, {"b": null}], "c": "\u00e9"}', '{"a": [1, 2, {"b": null}], "c": "\u00e9"}',
     'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{1,NULL,-3}', E'{a,"b c",NULL,"\u00e9\\"x"}');

insert into driver_types (tenant_id, id) values (:tenant, 2);

insert into driver_counters (tenant_id, id) values (:tenant, 1);
