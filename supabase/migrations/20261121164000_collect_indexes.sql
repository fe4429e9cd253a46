-- Postgres keeps a plan for as long as a session lasts. One that was made while a table was empty or small reads all of
-- it at each call, until autovacuum has counted its rows again: a first collection of many companies, or the first after
-- many were added, slowed down with each capture that it stored. All that a run looks up has an index; what these
-- functions call, and the checks of foreign keys, are planned under their setting.

alter function public.collect_dex_claim(uuid, text, integer, integer) set enable_seqscan = off;
alter function public.collect_dex_claim_one(uuid, text, uuid, integer) set enable_seqscan = off;
alter function public.collect_dex_unseen(uuid, bigint[]) set enable_seqscan = off;
alter function public.collect_dex_around(uuid, json) set enable_seqscan = off;
alter function public.collect_dex_store(uuid, json) set enable_seqscan = off;
alter function public.collect_dex_finish(uuid, uuid, boolean, integer, text, timestamptz, text) set enable_seqscan = off;
alter function public.collect_dex_release(uuid, uuid[]) set enable_seqscan = off;
alter function public.collect_dex_end(uuid, text, jsonb, text) set enable_seqscan = off;
