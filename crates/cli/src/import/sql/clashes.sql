-- Which of these relations ($1, by name) are there already.
select name from unnest($1::text[]) as name where to_regclass(name) is not null order by name
