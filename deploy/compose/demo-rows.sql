-- The demo's rows. Each statement names its tenant, as the proxy wants it: psql builds them, and sends each by itself.
insert into currencies (code, digits) values ('EUR', 2), ('USD', 2), ('JPY', 0), ('BRL', 2), ('KES', 2);
insert into countries (code, name, currency) values ('DE', 'Germany', 'EUR'), ('FR', 'France', 'EUR'),
    ('US', 'United States', 'USD'), ('JP', 'Japan', 'JPY'), ('BR', 'Brazil', 'BRL'), ('KE', 'Kenya', 'KES');
insert into migrations (version) values (1);

select format('insert into tenants (tenant_id, name, country) values (%s, ''Tenant %s'', %L)', t, t,
              (array['DE', 'FR', 'US', 'JP', 'BR', 'KE'])[1 + t % 6])
from generate_series(1, 300) t \gexec

select 'insert into users (tenant_id, id, email, name) values '
       || string_agg(format('(%s, %s, ''user%s@tenant%s.example'', ''User %s'')', t, u, u, t, u), ', ' order by u)
from generate_series(1, 300) t, generate_series(1, 3) u group by t order by t \gexec

select 'insert into items (tenant_id, id, name, price, stock) values '
       || string_agg(format('(%s, %s, ''Item %s'', %s.95, %s)', t, i, i, 5 + (t * 7 + i * 13) % 90, 9 + i), ', ' order by i)
from generate_series(1, 300) t, generate_series(1, 5) i group by t order by t \gexec

select 'insert into orders (tenant_id, id, user_id, status, total) values '
       || string_agg(format('(%s, %s, %s, ''paid'', %s.90)', t, o, 1 + o % 3, 10 + (t * 3 + o * 17) % 200), ', ' order by o)
from generate_series(1, 300) t, generate_series(1, 1 + t % 6) o group by t order by t \gexec

select 'insert into order_lines (tenant_id, order_id, line, item_id, quantity) values '
       || string_agg(format('(%s, %s, 1, %s, 1)', t, o, 1 + o % 5), ', ' order by o)
from generate_series(1, 300) t, generate_series(1, 1 + t % 6) o group by t order by t \gexec
