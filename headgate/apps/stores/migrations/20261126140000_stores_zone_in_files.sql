-- A shop's new time zone reaches the file that is being ingested too: days of sales whose agreement came in an earlier
-- batch stayed those of the old zone.
create or replace function stores.set_zone(p_connection bigint, p_zone text, p_currency text) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_moved bigint := 0;
begin
    perform stores.hold(p_connection);
    perform now() at time zone p_zone;
    update stores.connections c set time_zone = p_zone, currency = p_currency, updated_at = now()
    where c.id = p_connection and (c.time_zone, c.currency) is distinct from (p_zone, p_currency);
    if not found then
        return 0;
    end if;
    update public.shop_sales_agreements a set day = (a.happened_at at time zone p_zone)::date
    where a.connection_id = p_connection and a.day <> (a.happened_at at time zone p_zone)::date;
    perform stores.mark_days(p_connection, coalesce(jsonb_agg(distinct jsonb_build_object('day', d.day, 'currency', s.currency)), '[]'))
    from public.shop_sales s
    join public.shop_sales_agreements a on a.connection_id = s.connection_id and a.shopify_id = s.agreement_id
    cross join lateral (values (s.day), (a.day)) d (day)
    where s.connection_id = p_connection and s.day <> a.day;
    update public.shop_sales s set day = a.day
    from public.shop_sales_agreements a
    where s.connection_id = p_connection and a.connection_id = p_connection and a.shopify_id = s.agreement_id
      and s.day <> a.day;
    get diagnostics v_moved = row_count;
    -- sales that a later batch of a file brings take the day of their agreement as an earlier one noted it
    update stores.file_parents f set day = a.day
    from stores.bulk_operations b, public.shop_sales_agreements a
    where b.connection_id = p_connection and b.finished_at is null and f.operation_id = b.id and f.kind = 'a'
      and a.connection_id = p_connection and a.shopify_id = f.shopify_id and f.day is distinct from a.day;
    return v_moved;
end $$;
