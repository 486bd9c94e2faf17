-- name: brand
with known as (
    select id from stores.brands where name = %(name)s order by created_at limit 1
), made as (
    insert into stores.brands (name) select %(name)s where not exists (select from known) returning id
)
select id from known union all select id from made;

-- name: members
insert into stores.brand_members (brand_id, user_id, role)
select %(brand)s, u.id, 'owner' from auth.users u where u.deleted_at is null
on conflict do nothing;

-- name: forget
-- Everything of a simulated shop that is no more.
with inbox as (
    delete from stores.webhook_inbox where shop_domain = %(shop)s
)
select stores.erase_rows(c.id) from stores.connections c where c.shop_domain = %(shop)s;

-- name: connection
select id from stores.connections where shop_domain = %(shop)s and state in ('connected', 'error') order by id limit 1
