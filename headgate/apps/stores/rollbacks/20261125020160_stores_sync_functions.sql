drop function stores.reconcile(bigint, bigint, jsonb), stores.untied(bigint, integer);
drop view stores.order_ledgers;
drop function stores.apply_refund_lines(bigint, bigint, jsonb), stores.begin_sync(bigint),
    stores.move_milestone(bigint, text, text, jsonb, text, bigint);
alter table public.shop_refunds drop column lines_read;
drop table stores.refetches;
