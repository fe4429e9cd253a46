select
    current_setting('max_connections')::integer as allowed,
    current_setting('superuser_reserved_connections')::integer as reserved,
    (select count(*) from pg_catalog.pg_stat_activity where backend_type = 'client backend')::integer as used
