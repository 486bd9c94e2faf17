set local check_function_bodies = off;

create or replace function stores.make_ready() returns void
language plpgsql set search_path = '' as $$
begin
    if to_regclass('pg_temp.ready_orders') is null then
        drop table if exists pg_temp.store_rows, pg_temp.store_kinds;  -- of a session that was there before this migration
        create temporary table store_rows (
            line bigint, kind "char", id bigint, parent bigint, late boolean, version timestamptz, place tid, doc jsonb
        ) on commit delete rows;
        alter table pg_temp.store_rows alter column kind set statistics 1;
        alter table pg_temp.store_rows alter column parent set statistics 1;
        create temporary table store_kinds (kind "char", n bigint, first bigint, last bigint, ready bigint) on commit delete rows;
        create temporary table ready_orders (
            line bigint, id bigint, name text, created_at timestamptz, processed_at timestamptz, updated_at timestamptz,
            cancelled_at timestamptz, closed_at timestamptz, cancel_reason text, test boolean, edited boolean,
            taxes_included boolean, tags text[], source_name text, financial_status text, fulfillment_status text,
            currency text, presentment_currency text, customer_id bigint, total_price numeric,
            presentment_total_price numeric, current_total_price numeric, presentment_current_total_price numeric,
            current_subtotal numeric, presentment_current_subtotal numeric, current_discounts numeric,
            presentment_current_discounts numeric, current_taxes numeric, presentment_current_taxes numeric,
            total_shipping numeric, presentment_total_shipping numeric, total_refunded numeric,
            presentment_total_refunded numeric, total_tips numeric, presentment_total_tips numeric
        ) on commit delete rows;
        create temporary table ready_agreements (
            line bigint, id bigint, happened_at timestamptz, reason text, parent bigint
        ) on commit delete rows;
        create temporary table ready_line_items (
            line bigint, id bigint, title text, variant_title text, sku text, vendor text, quantity bigint,
            current_quantity bigint, gift_card boolean, product_id bigint, variant_id bigint, unit_price numeric, presentment_unit_price numeric, discounted_total numeric,
            presentment_discounted_total numeric, discount numeric, presentment_discount numeric, parent bigint
        ) on commit delete rows;
        create temporary table ready_shipping_lines (
            line bigint, id bigint, title text, code text, source text, removed boolean,
            original_price numeric, presentment_original_price numeric, discounted_price numeric,
            presentment_discounted_price numeric, parent bigint
        ) on commit delete rows;
        create temporary table ready_sales (
            line bigint, id bigint, action text, line_type text, quantity bigint, amount numeric,
            presentment_amount numeric, tax numeric, presentment_tax numeric, discount numeric, presentment_discount numeric,
            discount_after_tax numeric, presentment_discount_after_tax numeric, line_item_id bigint, parent bigint
        ) on commit delete rows;
        create temporary table ready_refunds (
            line bigint, parent bigint, id bigint, created_at timestamptz, note text, total_refunded numeric,
            presentment_total_refunded numeric
        ) on commit delete rows;
        create temporary table ready_transactions (
            line bigint, parent bigint, id bigint, kind text, status text, gateway text, test boolean,
            processed_at timestamptz, parent_id bigint, amount numeric, presentment_amount numeric
        ) on commit delete rows;
        -- two or three lines in a row have the same parent, which a small sample does not show; so it is looked up once
        alter table pg_temp.ready_line_items alter column parent set (n_distinct = -0.4);
        alter table pg_temp.ready_line_items alter column parent set statistics 1;
        alter table pg_temp.ready_sales alter column parent set (n_distinct = -0.4);
        alter table pg_temp.ready_sales alter column parent set statistics 1;
    end if;
end $$;
