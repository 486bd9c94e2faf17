-- The fields of customers, products, variants and stock each in one place, as those of orders are; and stock goes with its
-- variant, whichever of the two comes first, and whichever of the deletion and the rows.
--
-- Stock names an inventory item, not a variant. So an item is remembered as deleted like its variant: when the variant is
-- deleted, or when the line of a variant comes that was deleted before.

alter table stores.tombstones drop constraint tombstones_kind_check, add constraint tombstones_kind_check
    check (kind in ('order', 'customer', 'product', 'variant', 'line_item', 'inventory_item'));

create function stores.read_customers(p_connection bigint)
returns table (
    at_line bigint, shopify_id bigint, version timestamptz, created_at timestamptz, updated_at timestamptz,
    first_name text, last_name text, email text, phone text, state text, locale text, tags text[],
    verified_email boolean, redacted boolean)
language sql stable as $$
    select l.line, l.id, l.version, (l.doc ->> 'createdAt')::timestamptz,
           coalesce((l.doc ->> 'updatedAt')::timestamptz, stores.plain_version(l.version)),
           case when k.shopify_id is null then l.doc ->> 'firstName' end,
           case when k.shopify_id is null then l.doc ->> 'lastName' end,
           case when k.shopify_id is null
                then coalesce(l.doc #>> '{defaultEmailAddress,emailAddress}', l.doc ->> 'email') end,
           case when k.shopify_id is null
                then coalesce(l.doc #>> '{defaultPhoneNumber,phoneNumber}', l.doc ->> 'phone') end,
           l.doc ->> 'state', case when k.shopify_id is null then l.doc ->> 'locale' end,
           case when k.shopify_id is null then stores.texts(l.doc -> 'tags') else '{}' end, (l.doc ->> 'verifiedEmail')::boolean,
           k.shopify_id is not null
    from stores.lines_of('c') l
    left join stores.redactions k on k.connection_id = p_connection and k.kind = 'customer' and k.shopify_id = l.id
    where not exists (select from stores.tombstones d
                      where d.connection_id = p_connection and d.kind = 'customer' and d.shopify_id = l.id)
$$;

create function stores.read_products(p_connection bigint)
returns table (
    at_line bigint, shopify_id bigint, version timestamptz, created_at timestamptz, updated_at timestamptz,
    published_at timestamptz, title text, handle text, vendor text, product_type text, status text, tags text[],
    gift_card boolean, total_inventory bigint)
language sql stable as $$
    select l.line, l.id, l.version, (l.doc ->> 'createdAt')::timestamptz,
           coalesce((l.doc ->> 'updatedAt')::timestamptz, stores.plain_version(l.version)),
           (l.doc ->> 'publishedAt')::timestamptz, coalesce(l.doc ->> 'title', ''), l.doc ->> 'handle',
           l.doc ->> 'vendor', l.doc ->> 'productType', l.doc ->> 'status', stores.texts(l.doc -> 'tags'),
           coalesce((l.doc ->> 'isGiftCard')::boolean, false), (l.doc ->> 'totalInventory')::bigint
    from stores.lines_of('p') l
    where not exists (select from stores.tombstones d
                      where d.connection_id = p_connection and d.kind = 'product' and d.shopify_id = l.id)
$$;

create function stores.read_variants(p_connection bigint)
returns table (
    at_line bigint, gone boolean, shopify_id bigint, version timestamptz, product_id bigint, updated_at timestamptz,
    title text, sku text, barcode text, "position" integer, price numeric, compare_at_price numeric,
    inventory_item_id bigint, inventory_quantity bigint)
language sql stable as $$
    select l.line,
           exists (select from stores.tombstones d
                   where d.connection_id = p_connection and d.kind = 'variant' and d.shopify_id = l.id)
           or exists (select from stores.tombstones d
                      where d.connection_id = p_connection and d.kind = 'product' and d.shopify_id = l.product),
           l.id, l.version, l.product,
           coalesce((l.doc ->> 'updatedAt')::timestamptz, stores.plain_version(l.version)), l.doc ->> 'title',
           l.doc ->> 'sku', l.doc ->> 'barcode', (l.doc ->> 'position')::integer, (l.doc ->> 'price')::numeric,
           (l.doc ->> 'compareAtPrice')::numeric, stores.gid(l.doc #>> '{inventoryItem,id}'),
           (l.doc ->> 'inventoryQuantity')::bigint
    from (select d.*, coalesce(d.parent, stores.gid(d.doc #>> '{product,id}')) as product
          from stores.lines_of('v') d) l
$$;
comment on function stores.read_variants is
    'Variants of the batch; gone: deleted, or of a product that was, whether or not its variants had come before. Of these '
    'only the inventory item is of use.';

create function stores.read_levels(p_connection bigint)
returns table (
    at_line bigint, inventory_item_id bigint, location_id bigint, location text, version timestamptz,
    updated_at timestamptz, available bigint, on_hand bigint, committed bigint, incoming bigint)
language sql stable as $$
    select l.line, l.item, stores.gid(l.doc #>> '{location,id}'), l.doc #>> '{location,name}', l.version,
           coalesce((l.doc ->> 'updatedAt')::timestamptz, stores.plain_version(l.version)), q.available, q.on_hand,
           q.committed, q.incoming
    from (select d.*, stores.gid(d.doc #>> '{item,id}') as item from stores.lines_of('i') d) l
    cross join lateral (
        select max((e ->> 'quantity')::bigint) filter (where e ->> 'name' = 'available') as available,
               max((e ->> 'quantity')::bigint) filter (where e ->> 'name' = 'on_hand') as on_hand,
               max((e ->> 'quantity')::bigint) filter (where e ->> 'name' = 'committed') as committed,
               max((e ->> 'quantity')::bigint) filter (where e ->> 'name' = 'incoming') as incoming
        from jsonb_array_elements(l.doc -> 'quantities') e) q
    where not exists (select from stores.tombstones d
                      where d.connection_id = p_connection and d.kind = 'inventory_item' and d.shopify_id = l.item)
$$;

create or replace function stores.put_customers(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    insert into public.shop_customers
        (connection_id, shopify_id, version, created_at, updated_at, first_name, last_name, email, phone, state,
         locale, tags, verified_email, redacted)
    select p_connection, n.shopify_id, n.version, n.created_at, n.updated_at, n.first_name, n.last_name, n.email,
           n.phone, n.state, n.locale, n.tags, n.verified_email, n.redacted
    from stores.read_customers(p_connection) n
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_customers t set
            version = f.version, created_at = f.created_at, updated_at = f.updated_at, first_name = f.first_name,
            last_name = f.last_name, email = f.email, phone = f.phone, state = f.state, locale = f.locale,
            tags = f.tags, verified_email = f.verified_email, redacted = f.redacted
        from (select distinct on (n.shopify_id) n.* from stores.read_customers(p_connection) n
              order by n.shopify_id, n.version desc, n.at_line desc) f
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
    select p_connection, n.shopify_id, n.version, n.created_at, n.updated_at, n.published_at, n.title, n.handle,
           n.vendor, n.product_type, n.status, n.tags, n.gift_card, n.total_inventory
    from stores.read_products(p_connection) n
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_products t set
            version = f.version, created_at = f.created_at, updated_at = f.updated_at, published_at = f.published_at,
            title = f.title, handle = f.handle, vendor = f.vendor, product_type = f.product_type, status = f.status,
            tags = f.tags, gift_card = f.gift_card, total_inventory = f.total_inventory
        from (select distinct on (n.shopify_id) n.* from stores.read_products(p_connection) n
              order by n.shopify_id, n.version desc, n.at_line desc) f
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

create function stores.drop_stock(p_connection bigint, p_items bigint[]) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_gone bigint;
begin
    insert into stores.tombstones (connection_id, kind, shopify_id)
    select p_connection, 'inventory_item', i from unnest(p_items) i where i is not null
    on conflict do nothing;
    delete from public.shop_inventory_levels s
    where s.connection_id = p_connection and s.inventory_item_id = any (p_items);
    get diagnostics v_gone = row_count;
    return v_gone;
end $$;
comment on function stores.drop_stock is
    'Deletes the stock of inventory items for good: no level that is still under way brings it back. How many levels went.';

create function stores.drop_stray_stock(p_connection bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_gone bigint;
begin
    perform stores.hold(p_connection);
    -- a file's lines come in any order: a level's variant may be in one that is still to be put
    if exists (select from stores.bulk_operations b
               where b.connection_id = p_connection and b.entity = 'products' and b.finished_at is null) then
        return 0;
    end if;
    delete from public.shop_inventory_levels s
    where s.connection_id = p_connection
      and not exists (select from public.shop_variants v
                      where v.connection_id = p_connection and v.inventory_item_id = s.inventory_item_id);
    get diagnostics v_gone = row_count;
    return v_gone;
end $$;
comment on function stores.drop_stray_stock is
    'Deletes stock that no variant has, as when its product was deleted before it was ever read. A product is read with '
    'its variants and their stock, so nothing is lost that a later reading would not bring. How many levels went; none '
    'while a file of products is under way.';

create or replace function stores.put_variants(p_connection bigint, p_scope bigint, p_lines bigint) returns bigint
language plpgsql set search_path = '' as $$
declare
    v_added bigint;
    v_changed bigint := 0;
begin
    insert into public.shop_variants
        (connection_id, shopify_id, version, product_id, updated_at, title, sku, barcode, position, price,
         compare_at_price, inventory_item_id, inventory_quantity)
    select p_connection, n.shopify_id, n.version, n.product_id, n.updated_at, n.title, n.sku, n.barcode, n.position,
           n.price, n.compare_at_price, n.inventory_item_id, n.inventory_quantity
    from stores.read_variants(p_connection) n where not n.gone
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_variants t set
            version = f.version, product_id = f.product_id, updated_at = f.updated_at, title = f.title, sku = f.sku,
            barcode = f.barcode, position = f.position, price = f.price, compare_at_price = f.compare_at_price,
            inventory_item_id = f.inventory_item_id, inventory_quantity = f.inventory_quantity
        from (select distinct on (n.shopify_id) n.* from stores.read_variants(p_connection) n where not n.gone
              order by n.shopify_id, n.version desc, n.at_line desc) f
        where t.connection_id = p_connection and t.shopify_id = f.shopify_id and f.version >= t.version
          and (t.product_id, t.updated_at, t.title, t.sku, t.barcode, t.position, t.price, t.compare_at_price,
               t.inventory_item_id, t.inventory_quantity)
              is distinct from
              (f.product_id, f.updated_at, f.title, f.sku, f.barcode, f.position, f.price, f.compare_at_price,
               f.inventory_item_id, f.inventory_quantity);
        get diagnostics v_changed = row_count;
        if exists (select from stores.tombstones d
                   where d.connection_id = p_connection and d.kind in ('product', 'variant')) then
            perform stores.drop_stock(p_connection, array(
                select n.inventory_item_id from stores.read_variants(p_connection) n
                where n.gone and n.inventory_item_id is not null));
        end if;
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
    select p_connection, n.inventory_item_id, n.location_id, n.version, n.location, n.updated_at, n.available,
           n.on_hand, n.committed, n.incoming
    from stores.read_levels(p_connection) n
    on conflict do nothing;
    get diagnostics v_added = row_count;
    if v_added < p_lines then
        update public.shop_inventory_levels t set
            version = f.version, location = f.location, updated_at = f.updated_at, available = f.available,
            on_hand = f.on_hand, committed = f.committed, incoming = f.incoming
        from (select distinct on (n.inventory_item_id, n.location_id) n.* from stores.read_levels(p_connection) n
              order by n.inventory_item_id, n.location_id, n.version desc, n.at_line desc) f
        where t.connection_id = p_connection and t.inventory_item_id = f.inventory_item_id
          and t.location_id = f.location_id and f.version >= t.version
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
    v_gone bigint := 0;
begin
    perform stores.hold(p_connection);
    insert into stores.tombstones (connection_id, kind, shopify_id) values (p_connection, p_kind, p_id)
    on conflict do nothing;
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
        perform stores.drop_stock(p_connection, array(
            select v.inventory_item_id from public.shop_variants v
            where v.connection_id = p_connection and v.product_id = p_id));
        delete from public.shop_variants s where s.connection_id = p_connection and s.product_id = p_id;
        delete from public.shop_products s where s.connection_id = p_connection and s.shopify_id = p_id;
        get diagnostics v_gone = row_count;
    elsif p_kind = 'variant' then
        perform stores.drop_stock(p_connection, array(
            select v.inventory_item_id from public.shop_variants v
            where v.connection_id = p_connection and v.shopify_id = p_id));
        delete from public.shop_variants s where s.connection_id = p_connection and s.shopify_id = p_id;
        get diagnostics v_gone = row_count;
    elsif p_kind = 'inventory_item' then
        v_gone := stores.drop_stock(p_connection, array[p_id]);
    else
        raise exception 'Objects of the kind % are not deleted one by one.', p_kind using errcode = '22023';
    end if;
    return v_gone > 0;
end $$;
comment on function stores.apply_delete is
    'Deletes an order, customer, product, variant or inventory item with what belongs to it, for good: its number is '
    'remembered, and no row that is still under way brings it back. False when there was nothing to delete.';

drop function stores.variant_gone(bigint, bigint, bigint);
revoke execute on function stores.read_customers(bigint), stores.read_products(bigint), stores.read_variants(bigint),
    stores.read_levels(bigint), stores.drop_stock(bigint, bigint[]), stores.drop_stray_stock(bigint) from public;
