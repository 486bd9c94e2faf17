-- The lines of several refunds at once: a shop of a million lines has thousands of refunds, and each transaction costs.
drop function stores.apply_refund_lines(bigint, bigint, jsonb);

create function stores.apply_refund_lines(p_connection bigint, p_refunds bigint[], p_lines jsonb) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_scope bigint := -nextval('control.runs_id_seq');
    v_written bigint;
begin
    perform stores.hold(p_connection);
    perform stores.spread(null, p_lines, now(), 0, 0);
    insert into stores.file_parents (operation_id, kind, shopify_id, order_id, version)
    select v_scope, 'r', r.shopify_id, r.order_id, now() from public.shop_refunds r
    where r.connection_id = p_connection and r.shopify_id = any (p_refunds);
    v_written := stores.put_refund_lines(p_connection, v_scope, jsonb_array_length(p_lines));
    delete from stores.file_parents f where f.operation_id = v_scope;
    update public.shop_refunds r set lines_read = true
    where r.connection_id = p_connection and r.shopify_id = any (p_refunds) and not r.lines_read;
    return v_written;
end $$;
comment on function stores.apply_refund_lines is
    'Puts the lines of some refunds, read by paging and whole, each with its refund as __parentId; rows written.';
revoke execute on function stores.apply_refund_lines(bigint, bigint[], jsonb) from public;
