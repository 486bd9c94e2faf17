-- name: listed
select b.name as brand, b.id as brand_id, coalesce(u.email, m.user_id::text) as who, m.role,
       case when u.id is null then 'account deleted' else 'member' end as state, m.added_at as since
from stores.brands b join stores.brand_members m on m.brand_id = b.id
left join auth.users u on u.id = m.user_id and u.deleted_at is null
where b.id = coalesce(%(brand)s, b.id)
union all
select b.name, b.id, i.email, i.role, case when i.expires_at > now() then 'invited' else 'invitation expired' end, i.invited_at
from stores.brands b join stores.brand_invitations i on i.brand_id = b.id
where b.id = coalesce(%(brand)s, b.id)
order by 1, 2, 5 desc, 3;

-- name: add
with account as (
    select u.id from auth.users u
    where lower(u.email) = %(email)s and u.email_confirmed_at is not null and u.deleted_at is null and not u.is_sso_user
), answered as (
    delete from stores.brand_invitations
    where brand_id = %(brand)s and email = %(email)s and exists (select from account)
), member as (
    insert into stores.brand_members (brand_id, user_id, role) select %(brand)s, a.id, %(role)s from account a
    on conflict (brand_id, user_id) do update set role = excluded.role
    returning user_id
), invited as (
    insert into stores.brand_invitations (brand_id, email, role)
    select %(brand)s, %(email)s, %(role)s where not exists (select from account)
    on conflict (brand_id, email) do update
    set role = excluded.role, invited_by = null, invited_at = now(), expires_at = excluded.expires_at
)
select case when exists (select from member) then 'member' else 'invited' end as state;

-- name: remove
with parted as (
    delete from stores.brand_members m using auth.users u
    where m.brand_id = %(brand)s and u.id = m.user_id and (lower(u.email) = %(email)s or u.id::text = %(email)s)
    returning 1
), withdrawn as (
    delete from stores.brand_invitations where brand_id = %(brand)s and email = %(email)s returning 1
)
select (select count(*) from parted) + (select count(*) from withdrawn) as gone;

-- name: forget
-- Addresses of people who never answered are kept no longer than an owner may want to invite them again.
delete from stores.brand_invitations where expires_at < now() - interval '30 days';
