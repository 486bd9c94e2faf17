-- The functions as 20261126022540_stores_put_catalogue_in_place.sql and 20261125020150_stores_apply.sql made them.
create function stores.variant_gone(p_connection bigint, p_variant bigint, p_product bigint) returns boolean
language sql stable
return exists (select from stores.tombstones d where d.connection_id = p_connection
               and (d.kind = 'variant' and d.shopify_id = p_variant or d.kind = 'product' and d.shopify_id = p_product));
comment on function stores.variant_gone is
    'Whether a variant was deleted, or its product, also one whose variants had not come before it was deleted.';
revoke execute on function stores.variant_gone(bigint, bigint, bigint) from public;

create or replace function stores.put_customers(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    insert into public.shop_customers
        (connection_id, shopify_id, version, created_at, updated_at, first_name, last_name, email, phone, state,
         locale, tags, verified_email, redacted)
    select
        p_connection, l.id, l.version, (l.doc ->> 'createdAt')::timestamptz,
        coalesce((l.doc ->> 'updatedAt')::timestamptz, stores.plain_version(l.version)),
        case when k.shopify_id is null then l.doc ->> 'firstName' end,
        case when k.shopify_id is null then l.doc ->> 'lastName' end,
        case when k.shopify_id is null then coalesce(l.doc #>> '{defaultEmailAddress,emailAddress}', l.doc ->> 'email') end,
        case when k.shopify_id is null then coalesce(l.doc #>> '{defaultPhoneNumber,phoneNumber}', l.doc ->> 'phone') end,
        l.doc ->> 'state', l.doc ->> 'locale', stores.texts(l.doc -> 'tags'), (l.doc ->> 'verifiedEmail')::boolean,
        k.shopify_id is not null
    from stores.lines_of('c') l
        left join stores.redactions k on k.connection_id = p_connection and k.kind = 'customer' and k.shopify_id = l.id
    where not exists (select from stores.tombstones d
                          where d.connection_id = p_connection and d.kind = 'customer' and d.shopify_id = l.id)
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_customers t set
            version = f.version, created_at = f.created_at, updated_at = f.updated_at, first_name = f.first_name,
            last_name = f.last_name, email = f.email, phone = f.phone, state = f.state, locale = f.locale,
            tags = f.tags, verified_email = f.verified_email, redacted = f.redacted
        from (
            select distinct on (shopify_id) * from (
                select
                    p_connection as connection_id, l.id as shopify_id, l.version,
                    (l.doc ->> 'createdAt')::timestamptz as created_at,
                    coalesce((l.doc ->> 'updatedAt')::timestamptz, stores.plain_version(l.version)) as updated_at,
                    case when k.shopify_id is null then l.doc ->> 'firstName' end as first_name,
                    case when k.shopify_id is null then l.doc ->> 'lastName' end as last_name,
                    case when k.shopify_id is null then coalesce(l.doc #>> '{defaultEmailAddress,emailAddress}', l.doc ->> 'email') end as email,
                    case when k.shopify_id is null then coalesce(l.doc #>> '{defaultPhoneNumber,phoneNumber}', l.doc ->> 'phone') end as phone,
                    l.doc ->> 'state' as state, l.doc ->> 'locale' as locale, stores.texts(l.doc -> 'tags') as tags,
                    (l.doc ->> 'verifiedEmail')::boolean as verified_email, k.shopify_id is not null as redacted,
                    l.line as at_line
                from stores.lines_of('c') l
                left join stores.redactions k on k.connection_id = p_connection and k.kind = 'customer' and k.shopify_id = l.id
                where not exists (select from stores.tombstones d
                              where d.connection_id = p_connection and d.kind = 'customer' and d.shopify_id = l.id)
            ) r order by shopify_id, version desc, at_line desc
        ) f
        where t.connection_id = p_connection and t.shopify_id = f.shopify_id and f.version >= t.version
          and (t.created_at, t.updated_at, t.first_name, t.last_name, t.email, t.phone, t.state, t.locale, t.tags,
               t.verified_email, t.redacted)
              is distinct from
              (f.created_at, f.updated_at, f.first_name, f.last_name, f.email, f.phone, f.state, f.locale, f.tags,
               f.verified_email, f.redacted);
        get diagnostics v_changed = row_count;
    end if;
    return v_added + v_changed;
end $$;

create or replace function stores.put_products(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    insert into public.shop_products
        (connection_id, shopify_id, version, created_at, updated_at, published_at, title, handle, vendor,
         product_type, status, tags, gift_card, total_inventory)
    select
        p_connection, l.id, l.version, (l.doc ->> 'createdAt')::timestamptz,
        coalesce((l.doc ->> 'updatedAt')::timestamptz, stores.plain_version(l.version)),
        (l.doc ->> 'publishedAt')::timestamptz, coalesce(l.doc ->> 'title', ''), l.doc ->> 'handle',
        l.doc ->> 'vendor', l.doc ->> 'productType', l.doc ->> 'status', stores.texts(l.doc -> 'tags'),
        coalesce((l.doc ->> 'isGiftCard')::boolean, false), (l.doc ->> 'totalInventory')::bigint
    from stores.lines_of('p') l
    where not exists (select from stores.tombstones d
                          where d.connection_id = p_connection and d.kind = 'product' and d.shopify_id = l.id)
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_products t set
            version = f.version, created_at = f.created_at, updated_at = f.updated_at, published_at = f.published_at,
            title = f.title, handle = f.handle, vendor = f.vendor, product_type = f.product_type, status = f.status,
            tags = f.tags, gift_card = f.gift_card, total_inventory = f.total_inventory
        from (
            select distinct on (shopify_id) * from (
                select
                    p_connection as connection_id, l.id as shopify_id, l.version,
                    (l.doc ->> 'createdAt')::timestamptz as created_at,
                    coalesce((l.doc ->> 'updatedAt')::timestamptz, stores.plain_version(l.version)) as updated_at,
                    (l.doc ->> 'publishedAt')::timestamptz as published_at, coalesce(l.doc ->> 'title', '') as title,
                    l.doc ->> 'handle' as handle, l.doc ->> 'vendor' as vendor, l.doc ->> 'productType' as product_type,
                    l.doc ->> 'status' as status, stores.texts(l.doc -> 'tags') as tags,
                    coalesce((l.doc ->> 'isGiftCard')::boolean, false) as gift_card,
                    (l.doc ->> 'totalInventory')::bigint as total_inventory, l.line as at_line
                from stores.lines_of('p') l
                where not exists (select from stores.tombstones d
                              where d.connection_id = p_connection and d.kind = 'product' and d.shopify_id = l.id)
            ) r order by shopify_id, version desc, at_line desc
        ) f
        where t.connection_id = p_connection and t.shopify_id = f.shopify_id and f.version >= t.version
          and (t.created_at, t.updated_at, t.published_at, t.title, t.handle, t.vendor, t.product_type, t.status,
               t.tags, t.gift_card, t.total_inventory)
              is distinct from
              (f.created_at, f.updated_at, f.published_at, f.title, f.handle, f.vendor, f.product_type, f.status,
               f.tags, f.gift_card, f.total_inventory);
        get diagnostics v_changed = row_count;
    end if;
    return v_added + v_changed;
end $$;

create or replace function stores.put_variants(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    insert into public.shop_variants
        (connection_id, shopify_id, version, product_id, updated_at, title, sku, barcode, position, price,
         compare_at_price, inventory_item_id, inventory_quantity)
    select
        p_connection, l.id, l.version, coalesce(l.parent, stores.gid(l.doc #>> '{product,id}')),
        coalesce((l.doc ->> 'updatedAt')::timestamptz, stores.plain_version(l.version)), l.doc ->> 'title',
        l.doc ->> 'sku', l.doc ->> 'barcode', (l.doc ->> 'position')::integer, (l.doc ->> 'price')::numeric,
        (l.doc ->> 'compareAtPrice')::numeric, stores.gid(l.doc #>> '{inventoryItem,id}'),
        (l.doc ->> 'inventoryQuantity')::bigint
    from stores.lines_of('v') l
    where not stores.variant_gone(p_connection, l.id, coalesce(l.parent, stores.gid(l.doc #>> '{product,id}')))
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_variants t set
            version = f.version, product_id = f.product_id, updated_at = f.updated_at, title = f.title, sku = f.sku,
            barcode = f.barcode, position = f.position, price = f.price, compare_at_price = f.compare_at_price,
            inventory_item_id = f.inventory_item_id, inventory_quantity = f.inventory_quantity
        from (
            select distinct on (shopify_id) * from (
                select
                    p_connection as connection_id, l.id as shopify_id, l.version,
                    coalesce(l.parent, stores.gid(l.doc #>> '{product,id}')) as product_id,
                    coalesce((l.doc ->> 'updatedAt')::timestamptz, stores.plain_version(l.version)) as updated_at,
                    l.doc ->> 'title' as title, l.doc ->> 'sku' as sku, l.doc ->> 'barcode' as barcode,
                    (l.doc ->> 'position')::integer as position, (l.doc ->> 'price')::numeric as price,
                    (l.doc ->> 'compareAtPrice')::numeric as compare_at_price,
                    stores.gid(l.doc #>> '{inventoryItem,id}') as inventory_item_id,
                    (l.doc ->> 'inventoryQuantity')::bigint as inventory_quantity, l.line as at_line
                from stores.lines_of('v') l
                where not stores.variant_gone(p_connection, l.id, coalesce(l.parent, stores.gid(l.doc #>> '{product,id}')))
            ) r order by shopify_id, version desc, at_line desc
        ) f
        where t.connection_id = p_connection and t.shopify_id = f.shopify_id and f.version >= t.version
          and (t.product_id, t.updated_at, t.title, t.sku, t.barcode, t.position, t.price, t.compare_at_price,
               t.inventory_item_id, t.inventory_quantity)
              is distinct from
              (f.product_id, f.updated_at, f.title, f.sku, f.barcode, f.position, f.price, f.compare_at_price,
               f.inventory_item_id, f.inventory_quantity);
        get diagnostics v_changed = row_count;
    end if;
    return v_added + v_changed;
end $$;

create or replace function stores.put_levels(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    insert into public.shop_inventory_levels
        (connection_id, inventory_item_id, location_id, version, location, updated_at, available, on_hand,
         committed, incoming)
    select
        p_connection, stores.gid(l.doc #>> '{item,id}'), stores.gid(l.doc #>> '{location,id}'), l.version,
        l.doc #>> '{location,name}',
        coalesce((l.doc ->> 'updatedAt')::timestamptz, stores.plain_version(l.version)),
        (select (e ->> 'quantity')::bigint from jsonb_array_elements(l.doc -> 'quantities') e where e ->> 'name' = 'available'),
        (select (e ->> 'quantity')::bigint from jsonb_array_elements(l.doc -> 'quantities') e where e ->> 'name' = 'on_hand'),
        (select (e ->> 'quantity')::bigint from jsonb_array_elements(l.doc -> 'quantities') e where e ->> 'name' = 'committed'),
        (select (e ->> 'quantity')::bigint from jsonb_array_elements(l.doc -> 'quantities') e where e ->> 'name' = 'incoming')
    from stores.lines_of('i') l
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_inventory_levels t set
            version = f.version, location = f.location, updated_at = f.updated_at, available = f.available,
            on_hand = f.on_hand, committed = f.committed, incoming = f.incoming
        from (
            select distinct on (inventory_item_id, location_id) * from (
                select
                    p_connection as connection_id, stores.gid(l.doc #>> '{item,id}') as inventory_item_id,
                    stores.gid(l.doc #>> '{location,id}') as location_id, l.version,
                    l.doc #>> '{location,name}' as location,
                    coalesce((l.doc ->> 'updatedAt')::timestamptz, stores.plain_version(l.version)) as updated_at,
                    (select (e ->> 'quantity')::bigint from jsonb_array_elements(l.doc -> 'quantities') e where e ->> 'name' = 'available') as available,
                    (select (e ->> 'quantity')::bigint from jsonb_array_elements(l.doc -> 'quantities') e where e ->> 'name' = 'on_hand') as on_hand,
                    (select (e ->> 'quantity')::bigint from jsonb_array_elements(l.doc -> 'quantities') e where e ->> 'name' = 'committed') as committed,
                    (select (e ->> 'quantity')::bigint from jsonb_array_elements(l.doc -> 'quantities') e where e ->> 'name' = 'incoming') as incoming,
                    l.line as at_line
                from stores.lines_of('i') l
            ) r order by inventory_item_id, location_id, version desc, at_line desc
        ) f
        where t.connection_id = p_connection and t.inventory_item_id = f.inventory_item_id and t.location_id = f.location_id and f.version >= t.version
          and (t.location, t.updated_at, t.available, t.on_hand, t.committed, t.incoming)
              is distinct from
              (f.location, f.updated_at, f.available, f.on_hand, f.committed, f.incoming);
        get diagnostics v_changed = row_count;
    end if;
    return v_added + v_changed;
end $$;

create or replace function stores.apply_delete(p_connection bigint, p_kind text, p_id bigint) returns boolean
language plpgsql set search_path = '' as $$
declare
    v_days jsonb;
    v_gone bigint;
begin
    perform stores.hold(p_connection);
    insert into stores.tombstones (connection_id, kind, shopify_id) values (p_connection, p_kind, p_id)
    on conflict do nothing;
    v_gone := 0;
    if p_kind = 'order' then
        with gone as (
            delete from public.shop_sales s where s.connection_id = p_connection and s.order_id = p_id
            returning s.day, s.currency
        )
        select jsonb_agg(distinct jsonb_build_object('day', g.day, 'currency', g.currency)) into v_days from gone g;
        perform stores.mark_days(p_connection, coalesce(v_days, '[]'));
        delete from public.shop_sales_agreements s where s.connection_id = p_connection and s.order_id = p_id;
        delete from public.shop_line_items s where s.connection_id = p_connection and s.order_id = p_id;
        delete from public.shop_shipping_lines s where s.connection_id = p_connection and s.order_id = p_id;
        delete from public.shop_refunds s where s.connection_id = p_connection and s.order_id = p_id;
        delete from public.shop_refund_lines s where s.connection_id = p_connection and s.order_id = p_id;
        delete from public.shop_transactions s where s.connection_id = p_connection and s.order_id = p_id;
        delete from public.shop_orders s where s.connection_id = p_connection and s.shopify_id = p_id;
        get diagnostics v_gone = row_count;
        update stores.file_parents f set dead = true
        from stores.bulk_operations b
        where b.connection_id = p_connection and b.finished_at is null and f.operation_id = b.id and f.order_id = p_id
          and f.kind in ('o', 'a', 'r') and not f.dead;
    elsif p_kind = 'customer' then
        delete from public.shop_customers s where s.connection_id = p_connection and s.shopify_id = p_id;
        get diagnostics v_gone = row_count;
    elsif p_kind = 'product' then
        insert into stores.tombstones (connection_id, kind, shopify_id)
        select p_connection, 'variant', v.shopify_id from public.shop_variants v
        where v.connection_id = p_connection and v.product_id = p_id
        on conflict do nothing;
        delete from public.shop_variants s where s.connection_id = p_connection and s.product_id = p_id;
        delete from public.shop_products s where s.connection_id = p_connection and s.shopify_id = p_id;
        get diagnostics v_gone = row_count;
    elsif p_kind = 'variant' then
        delete from public.shop_variants s where s.connection_id = p_connection and s.shopify_id = p_id;
        get diagnostics v_gone = row_count;
    else
        raise exception 'Objects of the kind % are not deleted one by one.', p_kind using errcode = '22023';
    end if;
    return v_gone > 0;
end $$;
comment on function stores.apply_delete is
    'Deletes an order, customer, product or variant with what belongs to it, for good: its number is remembered, and no '
    'row that is still under way brings it back. False when there was nothing to delete.';

drop function stores.drop_stray_stock(bigint), stores.drop_stock(bigint, bigint[]), stores.read_levels(bigint),
    stores.read_variants(bigint), stores.read_products(bigint), stores.read_customers(bigint);
delete from stores.tombstones where kind = 'inventory_item';
alter table stores.tombstones drop constraint tombstones_kind_check, add constraint tombstones_kind_check
    check (kind in ('order', 'customer', 'product', 'variant', 'line_item'));
